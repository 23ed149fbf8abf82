// Measures questions about labels with 3,000, 9,000 and 50,000 series, in a head and in a block: milliseconds
// and CPU milliseconds of a call. Writes docs/benchmarks-labels.md. If PYROSCOPE names a real server's binary,
// asks both in turns. Build first. `--print` writes no page.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { PushRequestSchema, QuerierService } from "@cinderblock/api";
import { tinyPprof } from "@cinderblock/testkit";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const SIZES = [3_000, 9_000, 50_000],
  SERVICES = 300,
  BATCH = 500;
/** Batches of calls of one question, in turns between the servers, after one batch that warms up. */
const ROUNDS = 7;
/** A batch lasts about this long, and has at most and at least so many calls. */
const BATCH_MS = 150,
  MOST_CALLS = 40,
  FEWEST_CALLS = 2;
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
    if (server.process.exitCode !== null)
      throw new Error(`${server.name} ended with ${server.process.exitCode}`);
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
  ask("label values: pods by a regular expression", labelValues, {
    ...range,
    name: "pod",
    matchers: ['{pod=~"pod-7.*5",namespace!="ns-1"}'],
  }),
  ask("series: services and types", series, { ...range, labelNames: ["service_name", "__profile_type__"] }),
  ask("series of one service", series, { ...range, matchers: one }),
  ask("series: all", series, { ...range }),
];

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1]!;
const names = ["cinderblock", ...(process.env.PYROSCOPE === undefined ? [] : ["pyroscope"])];

/** CPU milliseconds of all live threads of a process. */
function cpuMs(pid: number): number {
  let nanos = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`))
    try {
      nanos += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
    } catch {
      // the thread has ended
    }
  return nanos / 1e6;
}

/** Cost of one call. */
interface Cost {
  ms: number;
  cpuMs: number;
}

/** Asks a question several times in a row. */
async function batch(
  server: Server,
  { method, body }: (typeof questions)[number],
  calls: number,
): Promise<Cost> {
  const url = `${server.url}/querier.v1.QuerierService/${method}`,
    times: number[] = [],
    before = cpuMs(server.process.pid!);
  for (let i = 0; i < calls; i++) {
    const from = performance.now(),
      answer = await post(url, body);
    times.push(performance.now() - from);
    if (answer.length === 0) throw new Error(`${server.name} answers ${method} with nothing`);
  }
  return { ms: median(times), cpuMs: (cpuMs(server.process.pid!) - before) / calls };
}

/** First question, and medians over the rounds of all questions, for each server. */
async function measure(servers: readonly Server[]): Promise<{ first: Cost[]; costs: Cost[][] }> {
  const first: Cost[] = [];
  // Needs postings and series, not only lists.
  for (const server of servers) first.push(await batch(server, questions[2]!, 1));
  const costs: Cost[][] = [];
  for (const question of questions) {
    const taken = servers.map((): Cost[] => []),
      calls = await Promise.all(
        servers.map(async (server) => {
          const { ms } = await batch(server, question, FEWEST_CALLS);
          return Math.min(MOST_CALLS, Math.max(FEWEST_CALLS, Math.round(BATCH_MS / ms)));
        }),
      );
    // All rounds of a question in a row: garbage of a large answer would slow down the next question.
    for (let round = -1; round < ROUNDS; round++)
      for (const [i, server] of servers.entries()) {
        const cost = await batch(server, question, calls[i]!);
        if (round >= 0) taken[i]!.push(cost);
      }
    costs.push(
      taken.map((list) => ({ ms: median(list.map((c) => c.ms)), cpuMs: median(list.map((c) => c.cpuMs)) })),
    );
  }
  return { first, costs };
}

/** place and size -> figures */
const figures = new Map<string, Awaited<ReturnType<typeof measure>>>();
for (const [s, size] of SIZES.entries()) {
  const servers = names.map((name, i) => start(name, 14210 + 20 * s + 5 * i, size));
  try {
    for (const server of servers) {
      await ready(server);
      await push(server, size);
    }
    for (const place of ["head", "block"]) {
      if (place === "block")
        for (const server of servers)
          await post(`${server.url}/ingester.v1.IngesterService/Flush`, new Uint8Array(0));
      await sleep(3000);
      figures.set(`${place} ${size}`, await measure(servers));
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

const rows = ["first question of all", ...questions.map((q) => q.name)];
const text = ["head", "block"].flatMap((place) =>
  (["cpuMs", "ms"] as const).map((unit) => {
    const costOf = (size: number, row: number, server: number): number | undefined => {
      const { first, costs } = figures.get(`${place} ${size}`)!;
      return (row === 0 ? first : costs[row - 1]!)[server]?.[unit];
    };
    const lines = rows.map((name, row) => {
      const ours = SIZES.map((size) => costOf(size, row, 0)!),
        ratios = SIZES.map((size, i) => {
          const v1 = costOf(size, row, 1);
          return v1 === undefined ? "–" : `${(ours[i]! / v1).toFixed(2)} x`;
        });
      return `| ${[name, ...ours.map((v) => v.toFixed(1)), ...ratios].join(" | ")} |`;
    });
    const sizes = SIZES.map((n) => n.toLocaleString("en"));
    return `## In a ${place}, ${unit === "ms" ? "milliseconds" : "CPU milliseconds"} of a call

| question | ${sizes.join(" | ")} series | ${sizes.map((n) => `of v1's, ${n}`).join(" | ")} |
|---|${"---:|".repeat(2 * SIZES.length)}
${lines.join("\n")}
`;
  }),
);
if (process.argv.includes("--print")) console.log(text.join("\n"));
else {
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], {
    cwd: root,
    encoding: "utf8",
  }).trim();
  writeFileSync(
    join(root, "docs/benchmarks-labels.md"),
    `# Benchmarks of questions about labels

Written by \`node tools/bench/labels.ts\` at commit ${commit}, ${new Date().toISOString().slice(0, 10)}, on ${cpus().length} cores (${cpus()[0]!.model.trim()}): the single binary with ${SIZES.map((n) => n.toLocaleString("en")).join(", ")} series of one profile, in ${SERVICES} services, over HTTP, the answer not decoded. Each figure is the median of ${ROUNDS} batches of calls, except for the first question of all, which builds or reads the index and is asked once. CPU is that of all threads of the server. The share of what Pyroscope v1 takes for the same question in turns is what survives a change of machine.

${text.join("\n")}`,
  );
}
