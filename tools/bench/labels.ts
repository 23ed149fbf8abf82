// Measures questions about labels with 1,000 and with 50,000 series, in a head and in a block; writes
// docs/benchmarks-labels.md. If PYROSCOPE names a real server's binary, asks both in turns. Build first.
// `--print` writes no page.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { PushRequestSchema, QuerierService } from "@cinderblock/api";
import { tinyPprof } from "@cinderblock/testkit";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const SIZES = [1_000, 50_000],
  SERVICES = 300,
  ROUNDS = 9,
  BATCH = 500;
const now = Date.now(),
  range = { start: BigInt(now - 3600_000), end: BigInt(now + 3600_000) };
const work = mkdtempSync(join(tmpdir(), "cinderblock-labels-"));

/** A server under load. */
interface Server {
  name: string;
  url: string;
  process: ChildProcess;
}

function start(name: string, port: number, size: number): Server {
  const dir = join(work, `${name}-${size}`),
    v1 = name !== "cinderblock";
  const common = [
    "-log.level=error",
    "-server.http-listen-address=127.0.0.1",
    `-server.http-listen-port=${port}`,
    `-storage.filesystem.dir=${dir}/bucket`,
    `-pyroscopedb.data-path=${dir}/db`,
    "-distributor.ingestion-rate-limit-mb=100000",
    "-distributor.ingestion-burst-size-mb=100000",
    "-ingester.max-global-series-per-tenant=0",
    "-validation.reject-older-than=0",
  ];
  const loopback = [
    "distributor.ring.instance-addr",
    "compactor.ring.instance-addr",
    "query-scheduler.ring.instance-addr",
    "overrides-exporter.ring.instance-addr",
    "store-gateway.sharding-ring.instance-addr",
    "query-frontend.instance-addr",
    "ingester.lifecycler.addr",
    "memberlist.bind-addr",
    "memberlist.advertise-addr",
    "server.grpc-listen-address",
  ].map((flag) => `-${flag}=127.0.0.1`);
  const process_ = v1
    ? spawn(
        process.env.PYROSCOPE!,
        [
          "-target=all",
          "-architecture.storage=v1",
          "-write-path=ingester",
          "-config.show_banner=false",
          ...common,
          ...loopback,
          `-server.grpc-listen-port=${port + 1}`,
          `-memberlist.bind-port=${port + 2}`,
          `-memberlist.advertise-port=${port + 2}`,
          "-ingester.min-ready-duration=0s",
          "-self-profiling.disable-push=true",
          "-usage-stats.enabled=false",
          "-tracing.enabled=false",
          "-storage.backend=filesystem",
          "-pyroscopedb.retention-policy-disable=true",
          `-blocks-storage.bucket-store.sync-dir=${dir}/sync`,
          `-compactor.data-dir=${dir}/compactor`,
        ],
        { stdio: "ignore" },
      )
    : spawn(
        join(root, "apps/cinderblock/bin/cinderblock"),
        [...common, `-server.internal-listen-port=${port + 1}`],
        { stdio: "ignore" },
      );
  return { name, url: `http://127.0.0.1:${port}`, process: process_ };
}

async function post(url: string, body: Uint8Array): Promise<Uint8Array> {
  const r = await fetch(url, { method: "POST", body, headers: { "content-type": "application/proto" } });
  const bytes = new Uint8Array(await r.arrayBuffer());
  if (!r.ok) throw new Error(`${url}: ${r.status} ${Buffer.from(bytes).toString()}`);
  return bytes;
}

async function ready(server: Server): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      if ((await fetch(`${server.url}/ready`)).ok) return;
    } catch (err) {
      if (i > 1200) throw err;
    }
    await sleep(100);
  }
}

async function push(server: Server, size: number): Promise<void> {
  const rawProfile = tinyPprof({
    stacks: [{ frames: ["main", "work"], values: [1] }],
    timeNanos: BigInt(now) * 1_000_000n,
  });
  for (let at = 0; at < size; at += BATCH) {
    const series = Array.from({ length: Math.min(BATCH, size - at) }, (_, k) => ({
      labels: Object.entries({
        __name__: "process_cpu",
        namespace: `ns-${(at + k) % 20}`,
        pod: `pod-${at + k}`,
        service_name: `svc-${(at + k) % SERVICES}`,
      }).map(([name, value]) => ({ name, value })),
      samples: [{ rawProfile }],
    }));
    await post(
      `${server.url}/push.v1.PusherService/Push`,
      toBinary(PushRequestSchema, create(PushRequestSchema, { series })),
    );
  }
}

const ask = <I extends DescMessage>(
  name: string,
  { input, name: method }: { input: I; name: string },
  message: MessageInitShape<I>,
): { name: string; method: string; body: Uint8Array } => ({
  name,
  method,
  body: toBinary(input, create(input, message)),
});
const { labelNames, labelValues, series, profileTypes } = QuerierService.method;
const one = ['{service_name="svc-7"}'];
const questions = [
  ask("profile types", profileTypes, range),
  ask("label names", labelNames, range),
  ask("label names of one service", labelNames, { ...range, matchers: one }),
  ask("label values: 300 services", labelValues, { ...range, name: "service_name" }),
  ask("label values: every pod", labelValues, { ...range, name: "pod" }),
  ask("label values: pods of one service", labelValues, { ...range, name: "pod", matchers: one }),
  ask("series: services and types", series, { ...range, labelNames: ["service_name", "__profile_type__"] }),
  ask("series of one service", series, { ...range, matchers: one }),
  ask("series: all", series, { ...range }),
];

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1]!;
const names = ["cinderblock", ...(process.env.PYROSCOPE === undefined ? [] : ["pyroscope"])];
/** place -> question -> server -> median ms */
const figures = new Map<string, number[][]>();

for (const [s, size] of SIZES.entries()) {
  const servers = names.map((name, i) => start(name, 14210 + 20 * s + 5 * i, size));
  try {
    for (const server of servers) {
      await ready(server);
      await push(server, size);
    }
    for (const place of ["head", "block"]) {
      if (place === "block") {
        for (const server of servers)
          await post(`${server.url}/ingester.v1.IngesterService/Flush`, new Uint8Array(0));
        await sleep(3000);
      }
      const taken = questions.map(() => servers.map((): number[] => []));
      // All rounds of a question in a row: garbage of a large answer would slow down the next question.
      for (const [q, { method, body }] of questions.entries())
        for (let round = -2; round < ROUNDS; round++)
          for (const [i, server] of servers.entries()) {
            const from = performance.now();
            const answer = await post(`${server.url}/querier.v1.QuerierService/${method}`, body);
            if (round >= 0) taken[q]![i]!.push(performance.now() - from);
            if (answer.length === 0) throw new Error(`${server.name} answers ${method} with nothing`);
          }
      figures.set(
        `${place} ${size}`,
        taken.map((list) => list.map(median)),
      );
      process.stderr.write(`${size} series in a ${place}: measured\n`);
    }
  } finally {
    for (const { process: p } of servers) {
      p.kill("SIGKILL");
      await new Promise((done) => p.once("exit", done));
    }
  }
}
rmSync(work, { recursive: true, force: true });

const text = ["head", "block"].map((place) => {
  const [few, many] = SIZES.map((size) => figures.get(`${place} ${size}`)!);
  const ratio = (f: number[]): string => (f.length > 1 ? `${(f[0]! / f[1]!).toFixed(2)} x` : "–");
  const rows = questions.map(({ name }, q) => {
    const a = few![q]!,
      b = many![q]!;
    return `| ${name} | ${a[0]!.toFixed(1)} | ${b[0]!.toFixed(1)} | ${(b[0]! / a[0]!).toFixed(1)} x | ${ratio(a)} | ${ratio(b)} |`;
  });
  return `## In a ${place}

| question | ms, 1,000 series | ms, 50,000 series | growth | of v1's, 1,000 | of v1's, 50,000 |
|---|---:|---:|---:|---:|---:|
${rows.join("\n")}
`;
});
if (process.argv.includes("--print")) console.log(text.join("\n"));
else {
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], {
    cwd: root,
    encoding: "utf8",
  }).trim();
  writeFileSync(
    join(root, "docs/benchmarks-labels.md"),
    `# Benchmarks of questions about labels

Written by \`node tools/bench/labels.ts\` at commit ${commit}, ${new Date().toISOString().slice(0, 10)}, on ${cpus().length} cores (${cpus()[0]!.model.trim()}): the single binary with 1,000 and with 50,000 series of one profile, in ${SERVICES} services; medians of ${ROUNDS} rounds over HTTP, the answer not decoded. The growth from 1,000 to 50,000 series, and the share of the time that Pyroscope v1 takes for the same question in turns, are what survive a change of machine.

${text.join("\n")}`,
  );
}
