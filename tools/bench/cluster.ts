// Measures the cost of a cluster's components relative to the single binary:
// node tools/bench/cluster.ts [rounds] writes docs/benchmarks-cluster.md.
// Real processes, Redis, Kafka and S3 server on this machine. Counts CPU seconds of each process for the load
// of docs/benchmarks.md, until its last block is in the bucket. Needs the team's ../shared.
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { freePort, startKafka, startRedis, startS3Server } from "@cinderblock/testkit";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url)))),
  shared = join(root, "../shared");
if (!existsSync(join(shared, "oracle"))) {
  console.error("tools/bench needs the team's measuring program in ../shared/oracle");
  process.exit(1);
}
const rounds = Number(process.argv[2] ?? 3),
  work = mkdtempSync(join(tmpdir(), "cinderblock-bench-")),
  oracle = join(work, "oracle");
const TICKS = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
const sleep = (ms: number): Promise<void> =>
  new Promise((r) => {
    setTimeout(r, ms);
  });
let steps = 0;
const TOTAL = 4 + rounds * 3;
const step = (text: string): void => {
  steps++;
  process.stdout.write(`[${"#".repeat(steps)}${".".repeat(Math.max(0, TOTAL - steps))}] ${text}\n`);
};

step("building, and making the load");
execFileSync("go", ["build", "-o", oracle, "."], { cwd: join(shared, "oracle") });
execFileSync(process.execPath, ["tools/build/main.ts"], { cwd: root, stdio: "inherit" });
execFileSync(oracle, ["gen", "-preset", "small", "-out", join(work, "load")], { stdio: "ignore" });
const profiles = 3200;
step("Redis, Kafka and an S3 server");
process.env.VGW_KEEP_ALIVE = "true"; // as S3 does; without it the test server closes each connection
const redis = await startRedis(),
  kafka = await startKafka();
const buckets = Array.from({ length: rounds }, (_, i) => [`single-${i}`, `direct-${i}`, `kafka-${i}`]).flat();
const s3 = await startS3Server([...buckets, "recovery"]);

const cpuSeconds = (pid: number): number => {
  const f = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(f[11]) + Number(f[12])) / TICKS;
};
const COMMON = [
  "-log.level=warn",
  "-server.http-listen-address=127.0.0.1",
  "-distributor.ingestion-rate-limit-mb=100000",
  "-distributor.ingestion-burst-size-mb=100000",
  "-ingester.max-global-series-per-tenant=0",
  "-validation.reject-older-than=0",
  "-querier.max-query-lookback=0",
  "-querier.max-query-length=0",
  "-pyroscopedb.ship-interval=500ms",
  "-ingester.heartbeat-period=500ms",
  "-ring.heartbeat-timeout=3s",
];

/** A process of the cluster. */
class Member {
  readonly name: string;
  readonly dir: string;
  private readonly flags: readonly string[];
  private port: number | undefined;
  private process: ChildProcess | undefined;
  constructor(name: string, flags: readonly string[]) {
    this.name = name;
    this.flags = flags;
    this.dir = join(work, `${name}-${Math.random().toString(36).slice(2)}`);
    mkdirSync(this.dir);
  }
  /** Seconds until the process was ready. */
  async start(): Promise<number> {
    this.port ??= await freePort();
    const log = openSync(join(this.dir, "log"), "a");
    this.process = spawn(
      join(root, "apps/cinderblock/bin/cinderblock"),
      [
        ...COMMON,
        `-server.http-listen-port=${this.port}`,
        `-pyroscopedb.data-path=${this.dir}/db`,
        `-compactor.data-dir=${this.dir}/c`,
        `-blocks-storage.bucket-store.sync-dir=${this.dir}/s`,
        `-ring.instance-id=${this.name}`,
        ...this.flags,
      ],
      { stdio: ["ignore", log, log] },
    );
    const begun = performance.now();
    for (let i = 0; i < 1200; i++) {
      try {
        if ((await fetch(`${this.url}/ready`)).ok) return (performance.now() - begun) / 1000;
      } catch {
        /* not yet */
      }
      await sleep(25);
    }
    throw new Error(
      `${this.name} did not start: ${readFileSync(join(this.dir, "log"), "utf8").slice(-1000)}`,
    );
  }
  get child(): ChildProcess {
    if (this.process === undefined) throw new Error(`${this.name} was not started`);
    return this.process;
  }
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }
  get cpu(): number {
    return cpuSeconds(this.child.pid!);
  }
  /** Sum over the metric's labels. */
  async metric(name: string): Promise<number> {
    return [
      ...(await (await fetch(`${this.url}/metrics`)).text()).matchAll(
        new RegExp(`^${name}(?:\\{[^}]*\\})? ([\\d.e+]+)`, "gm"),
      ),
    ].reduce((n, m) => n + Number(m[1]), 0);
  }
  flush(): Promise<Response> {
    return fetch(`${this.url}/ingester.v1.IngesterService/Flush`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
  }
  kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    return new Promise((r) => {
      this.child.once("exit", () => r());
      this.child.kill(signal);
    });
  }
}
const s3Flags = (bucket: string): string[] => [
  "-storage.backend=s3",
  `-storage.s3.endpoint=${s3.endpoint}`,
  "-storage.s3.insecure=true",
  `-storage.s3.bucket-name=${bucket}`,
  `-storage.s3.access-key-id=${s3.accessKeyId}`,
  `-storage.s3.secret-access-key=${s3.secretAccessKey}`,
];

const run = promisify(execFile);
async function push(to: Member, base: number): Promise<void> {
  const { stdout, stderr } = await run(
    oracle,
    ["push", "-load", join(work, "load"), "-url", to.url, "-base", String(base)],
    { encoding: "utf8" },
  );
  if (!/3200 profiles/.test(stdout + stderr)) throw new Error(`the push failed: ${stdout}${stderr}`);
}

/**
 * Number of pushed loads per measurement, so that occasional work, like rejoining Kafka groups, counts
 * little.
 */
const LOADS = 3;
async function pushLoads(to: Member, base: number): Promise<void> {
  for (let i = 0; i < LOADS; i++) await push(to, base - (i === 0 ? 0 : i + 1) * 3600_000);
}
/** Pushes loads until most code is compiled, because compilation is not a cost of a profile. */
async function warmUp(to: Member, ingesters: readonly Member[], base: number): Promise<void> {
  for (const hours of [1, 5]) await uploaded(to, ingesters, base - hours * 3600_000);
}

/** Pushes the loads and flushes; CPU seconds of each process for one load. */
async function pushed(
  members: readonly Member[],
  to: Member,
  ingesters: readonly Member[],
  base: number,
): Promise<Map<Member, number>> {
  const before = new Map(members.map((m) => [m, m.cpu]));
  await pushLoads(to, base);
  await consumed(ingesters);
  return new Map(members.map((m) => [m, (m.cpu - before.get(m)!) / LOADS]));
}

async function uploaded(to: Member, ingesters: readonly Member[], base: number): Promise<void> {
  await push(to, base);
  await consumed(ingesters);
}

/** Waits until the ingesters have read all records and uploaded all blocks. */
async function consumed(ingesters: readonly Member[]): Promise<void> {
  await sleep(500);
  for (const m of ingesters)
    for (let i = 0; i < 600 && (await m.metric("cinderblock_ingester_partition_lag_records")) > 0; i++)
      await sleep(500);
  await Promise.all(ingesters.map((m) => m.flush()));
  for (const m of ingesters)
    for (let i = 0; i < 600 && (await m.metric("cinderblock_ingester_unshipped_bytes")) > 0; i++)
      await sleep(500);
}

/**
 * CPU seconds of one load, one process after another: processes that share the cores take more CPU seconds
 * for the same work. The owners are stopped before and after.
 */
async function pushedOneByOne(
  distributor: Member,
  owners: readonly Member[],
  base: number,
): Promise<Map<Member, number>> {
  const out = new Map<Member, number>(),
    was = distributor.cpu;
  await pushLoads(distributor, base);
  out.set(distributor, (distributor.cpu - was) / LOADS);
  for (const m of owners) {
    const before = m.cpu;
    m.child.kill("SIGCONT");
    // The owner has left its groups by now, and reads the partitions' end offsets when it resumes.
    for (let i = 0; i < 100 && (await m.metric("cinderblock_ingester_partition_lag_records")) === 0; i++)
      await sleep(100);
    await consumed([m]);
    out.set(m, (m.cpu - before) / LOADS);
    m.child.kill("SIGSTOP");
  }
  return out;
}
const base = Math.floor(Date.now() / 3600_000) * 3600_000 - 3600_000;
interface Figure {
  name: string;
  cpu?: number;
  beside?: number;
  ms?: number;
  bytes?: number;
}
const figures: Figure[] = [];
/** Result of losing an ingester under load, in the last round. */
let recovery: { readyIn: number; refused: number; taken: number } | undefined;
/** @param single the single binary's CPU seconds for the same load, measured just before */
const note = (name: string, cpu: number, single: number): void => {
  figures.push({ name, cpu, beside: cpu / single });
};
/** The machine's speed changes within minutes, so the compared programs take turns. */
const TURNS = 3;

for (let round = 0; round < rounds; round++) {
  step(`round ${round + 1}: the single binary`);
  const single = new Member("single", ["-compactor.enabled=false", ...s3Flags(`single-${round}`)]);
  await single.start();
  await warmUp(single, [single], base);
  let alone = 0;
  const measureSingle = async (): Promise<void> => {
    single.child.kill("SIGCONT");
    alone = (await pushed([single], single, [single], base)).get(single)!;
    note("single", alone, alone);
    single.child.kill("SIGSTOP");
  };
  await measureSingle();

  for (const mode of ["direct", "kafka"] as const) {
    step(`round ${round + 1}: ${mode === "direct" ? "three replicas" : "Kafka and two zones"}`);
    const bucket = `${mode}-${round}`,
      more = [
        "-ring.store=redis",
        `-redis.address=127.0.0.1:${redis.port}`,
        `-redis.key-prefix=bench-${bucket}/`,
        ...s3Flags(bucket),
        ...(mode === "direct"
          ? ["-distributor.replication-factor=3"]
          : [
              "-distributor.write-buffer=kafka",
              `-kafka.brokers=${kafka.brokers}`,
              `-kafka.topic=bench-${bucket}`,
              "-kafka.auto-create-topic-partitions=4",
            ]),
      ];
    const make = (target: string, i: number, ...flags: string[]): Member =>
      new Member(`${target}-${i}`, [`-target=${target}`, ...more, ...flags]);
    const ingesters = Array.from({ length: mode === "direct" ? 3 : 2 }, (_, i) =>
      make("ingester", i, ...(mode === "kafka" ? [`-ingester.availability-zone=${"ab"[i]}`] : [])),
    );
    const reads = ["store-gateway", "query-scheduler", "querier", "query-frontend"].map((t) => make(t, 0));
    for (const m of ingesters) await m.start();
    await Promise.all(reads.map((m) => m.start()));
    const distributor = make("distributor", 0);
    await distributor.start();
    await sleep(mode === "kafka" ? 5000 : 1000);
    const members = [distributor, ...ingesters, ...reads];
    await warmUp(distributor, ingesters, base);
    for (const m of mode === "kafka" ? ingesters : []) m.child.kill("SIGSTOP");
    for (let turn = 0; turn < (mode === "kafka" ? TURNS : 1); turn++) {
      if (mode === "kafka") await measureSingle();
      const cpu =
        mode === "kafka"
          ? await pushedOneByOne(distributor, ingesters, base)
          : await pushed(members, distributor, ingesters, base);
      note(`${mode} distributor`, cpu.get(distributor)!, alone);
      ingesters.forEach((m, i) => note(`${mode} ingester ${i}`, cpu.get(m)!, alone));
      if (mode === "direct") note("direct store-gateway", cpu.get(reads[0]!)!, alone);
      else
        note(
          "kafka pair",
          cpu.get(distributor)! + ingesters.reduce((n, m) => n + cpu.get(m)!, 0) / ingesters.length,
          alone,
        );
    }
    for (const m of mode === "kafka" ? ingesters : []) m.child.kill("SIGCONT");
    // Queries: the benchmark's flame graph of all profiles, over heads and blocks of all replicas.
    const received = async (): Promise<number> =>
      (await Promise.all(members.map((m) => m.metric("cinderblock_internal_received_bytes")))).reduce(
        (a, b) => a + b,
        0,
      );
    const was = await received(),
      times: number[] = [],
      n = 40,
      cpuWas = new Map(reads.map((m) => [m, m.cpu]));
    for (let i = 0; i < n; i++) {
      const from = performance.now();
      const r = await fetch(`${reads[3]!.url}/querier.v1.QuerierService/SelectMergeStacktraces`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          profileTypeID: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
          labelSelector: "{}",
          start: String(base),
          end: String(base + 3600_000),
        }),
      });
      if (!r.ok || !(await r.text()).includes("flamegraph"))
        throw new Error(`the question failed: ${r.status}`);
      times.push(performance.now() - from);
    }
    figures.push({
      name: `${mode} query`,
      ms: times.sort((a, b) => a - b)[n >> 1]!,
      bytes: ((await received()) - was) / n,
    });
    for (const m of reads)
      note(`${mode} query ${m.name.replace(/-0$/, "")}`, (m.cpu - cpuWas.get(m)!) / n, 1);

    if (mode === "direct" && round === rounds - 1) {
      step("losing an ingester");
      await push(distributor, base + 3600_000);
      let refused = 0,
        taken = 0;
      const state = { on: true };
      // Repeats the load; a refused push makes a load fail.
      const loop = (async () => {
        while (state.on)
          await push(distributor, base + 3600_000).then(
            () => {
              taken++;
            },
            () => {
              refused++;
            },
          );
      })();
      await sleep(1000);
      await ingesters[1]!.kill();
      const readyIn = await ingesters[1]!.start();
      await sleep(500);
      state.on = false;
      await loop;
      recovery = { readyIn, refused, taken };
    }
    await Promise.all(members.map((m) => m.kill()));
  }
  await single.kill();
}
step("writing docs/benchmarks-cluster.md");
const median = (name: string, pick: "cpu" | "beside" | "ms" | "bytes" = "cpu"): number => {
  const v = figures
    .filter((f) => f.name === name)
    .map((f) => f[pick]!)
    .sort((a, b) => a - b);
  return v[v.length >> 1]!;
};
const us = (v: number): string => `${Math.round((v / profiles) * 1e6)}`;
if (recovery === undefined) throw new Error("no round lost an ingester");
const rec = recovery;
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
const beside = (name: string): number => median(name, "beside"),
  further = [0, 1].map((i) => `kafka ingester ${i}`).sort((a, b) => beside(b) - beside(a))[0]!;
const row = (what: string, name: string, goal = ""): string =>
  `| ${what} | ${us(median(name))} | ${beside(name).toFixed(2)} x | ${goal} |`;
const query = (mode: "direct" | "kafka"): string =>
  `| ${mode === "direct" ? "three replicas" : "Kafka, two zones"} | ${median(`${mode} query`, "ms").toFixed(0)} | ${Math.round(median(`${mode} query`, "bytes") / 1000)} | ${["query-frontend", "query-scheduler", "querier", "store-gateway"].map((t) => (median(`${mode} query ${t}`) * 1000).toFixed(1)).join(" | ")} |`;
writeFileSync(
  join(root, "docs/benchmarks-cluster.md"),
  `# Benchmarks of a cluster

Written by \`node tools/bench/cluster.ts\` at commit ${commit}, ${new Date().toISOString().slice(0, 10)}, on ${cpus().length} cores (${cpus()[0]!.model.trim()}): real processes, Redis, Kafka and S3 server on the same machine; the load of [benchmarks.md](benchmarks.md) (${profiles.toLocaleString("en")} profiles), medians of ${rounds} rounds. CPU of each process from the first push to the last block being in the bucket, for three loads after two others: compiling, which a process pays once, is not included. The machine's speed changes by the minute: each is compared with the single binary just before it, through Kafka in ${TURNS} turns a round. The three replicas, a client and the distributor share the cores; through Kafka the distributor is measured alone, then each owner while it reads the collected records.

## CPU of a push

| who | microseconds a profile | against the single binary | goal |
|---|---:|---:|---:|
${row("the single binary", "single")}
${row("three replicas: distributor", "direct distributor")}
${[0, 1, 2].map((i) => row(`three replicas: ingester ${i}`, `direct ingester ${i}`)).join("\n")}
${row("three replicas: store-gateway", "direct store-gateway")}
${row("Kafka: distributor", "kafka distributor")}
${[0, 1].map((i) => row(`Kafka: ingester of zone ${"ab"[i]}`, `kafka ingester ${i}`)).join("\n")}
${row("Kafka: distributor and one owner", "kafka pair", "≤ 1.6 x")}
${row("Kafka: each further owner", further, "≤ 0.7 x")}

## A flame graph of an hour

From the bucket, where each replica or zone has put every profile: the rows of all are compared.

| | p50 ms | kB between processes | CPU ms: frontend | scheduler | querier | store-gateway |
|---|---:|---:|---:|---:|---:|---:|
${query("direct")}
${query("kafka")}

## Losing an ingester

Three replicas, kill -9 under load${rec ? `: it is ready again ${rec.readyIn.toFixed(1)} s after its start, the log of two loads and more replayed; ${rec.refused} of ${rec.refused + rec.taken} whole loads that were pushed meanwhile met a refusal` : ""}.
`,
);
s3.stop();
await redis.kill();
await kafka.kill();
process.exit(0);
