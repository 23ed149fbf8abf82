// A cluster on this machine: a real Redis, a bucket, and N separate processes of each component, with a live
// display of their state. `npm run dev-cluster -- --help` lists the flags; Ctrl-C stops the cluster.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
// The same real parts as in the tests: npm run test:integration -- --install --only kafka installs them.
import { startKafka, startS3Server } from "@cinderblock/testkit";

const root = join(import.meta.dirname, "../..");
const { values: flags } = parseArgs({
  options: {
    ingesters: { type: "string", default: "3" },
    replicas: { type: "string", default: "3" },
    gateways: { type: "string", default: "1" },
    queriers: { type: "string", default: "2" },
    schedulers: { type: "string", default: "2" },
    stores: { type: "string", default: "2" },
    compactors: { type: "string", default: "1" },
    port: { type: "string", default: "4040" },
    dir: { type: "string" },
    kafka: { type: "string" },
    s3: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
    once: { type: "boolean", default: false },
  },
});
if (flags.help) {
  console.log(`npm run dev-cluster -- [flags]

  --port 4040       first port: pushes and queries go there (distributor and query-frontend in one process); the others follow
  --gateways 1      processes with a distributor and a query-frontend
  --ingesters 3     --replicas 3     --queriers 2     --schedulers 2     --stores 2     --compactors 1
  --kafka BROKERS   host:port of a Kafka between distributors and ingesters; "start" starts a real one here (Java 17 and Maven); the topic is made
  --s3              an S3 server of its own for the bucket (Go, to install it once) instead of a folder
  --dir DIR         data, bucket and logs; default: a new folder under ${tmpdir()}
  --once            start, show the state once, stop: a check that it works here`);
  process.exit(0);
}
if (spawnSync("redis-server", ["--version"]).status !== 0) {
  console.error(
    "dev-cluster needs redis-server on the PATH: apt-get install redis-server, brew install redis, or your system's package",
  );
  process.exit(1);
}
spawnSync(process.execPath, ["tools/build/main.ts", "--if-stale"], { cwd: root, stdio: "inherit" });

const dir = flags.dir ?? mkdtempSync(join(tmpdir(), "cinderblock-cluster-"));
mkdirSync(dir, { recursive: true });
process.env.TMPDIR = dir; // also for the real parts
let port = Number(flags.port);
const first = port,
  redisPort = port + 1000;

interface Member {
  name: string;
  /** undefined for a part that is not a child of this program */
  child: ChildProcess | undefined;
  port: number | undefined;
  /** exit status; empty while the process runs */
  ended: string;
}
const members: Member[] = [];

function start(name: string, command: string, args: readonly string[]): Member {
  const log = openSync(join(dir, `${name}.log`), "a");
  const child = spawn(command, args, { stdio: ["ignore", log, log], detached: true });
  child.on("exit", (code, signal) => {
    member.ended = signal ?? `exit ${code}`;
  });
  const member: Member = { name, child, port: undefined, ended: "" };
  members.push(member);
  return member;
}
start("redis", "redis-server", [
  "--bind",
  "127.0.0.1",
  "--port",
  String(redisPort),
  "--save",
  "",
  "--appendonly",
  "no",
  "--dir",
  dir,
]).port = redisPort;

/** A part that this program started, but not as a child process. */
function part(name: string, address: string): void {
  members.push({ name, child: undefined, port: Number(address.split(":").at(-1)), ended: "" });
}
const s3 = flags.s3 ? await startS3Server(["profiles"]) : undefined;
if (s3) part("s3", s3.endpoint);
const broker = flags.kafka === "start" ? await startKafka() : undefined;
const kafka = broker?.brokers ?? flags.kafka;
if (broker) part("kafka", broker.brokers);
process.on("exit", () => {
  s3?.stop();
  void broker?.kill();
});

const common = [
  "-ring.store=redis",
  `-redis.address=127.0.0.1:${redisPort}`,
  "-server.http-listen-address=127.0.0.1",
  ...(s3
    ? [
        "-storage.backend=s3",
        `-storage.s3.endpoint=${s3.endpoint}`,
        "-storage.s3.insecure=true",
        "-storage.s3.bucket-name=profiles",
        `-storage.s3.access-key-id=${s3.accessKeyId}`,
        `-storage.s3.secret-access-key=${s3.secretAccessKey}`,
      ]
    : [`-storage.filesystem.dir=${join(dir, "bucket")}`]),
  `-distributor.replication-factor=${Math.min(Number(flags.replicas), Number(flags.ingesters))}`,
  "-ingester.heartbeat-period=1s",
  "-ring.heartbeat-timeout=10s",
  ...(kafka ? ["-distributor.write-buffer=kafka", `-kafka.brokers=${kafka}`] : []),
];
for (const [target, n] of [
  ["distributor,query-frontend", flags.gateways],
  ["ingester", flags.ingesters],
  ["query-scheduler", flags.schedulers],
  ["querier", flags.queriers],
  ["store-gateway", flags.stores],
  ["compactor", flags.compactors],
] as const) {
  for (let i = 0; i < Number(n); i++) {
    const name = `${target.includes(",") ? "gateway" : target}-${i}`;
    const m = start(name, join(root, "apps/cinderblock/bin/cinderblock"), [
      `-target=${target}`,
      `-ring.instance-id=${name}`,
      `-server.http-listen-port=${port}`,
      `-pyroscopedb.data-path=${join(dir, name)}`,
      `-compactor.data-dir=${join(dir, name)}`,
      ...common,
    ]);
    m.port = port++;
  }
}

async function stateOf(m: Member): Promise<string> {
  if (m.ended !== "") return `ended: ${m.ended}, see ${join(dir, `${m.name}.log`)}`;
  if (m.name === "redis" || m.child === undefined) return "running";
  try {
    const r = await fetch(`http://127.0.0.1:${m.port}/ready`, { signal: AbortSignal.timeout(800) });
    return r.status === 200 ? "ready" : (await r.text()).trim().split("\n").at(-1)!;
  } catch {
    return "starting";
  }
}
function rss(m: Member): string {
  try {
    const status = readFileSync(`/proc/${m.child?.pid}/status`, "utf8");
    return `${Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024)} MB`;
  } catch {
    return "";
  }
}
const live = process.stdout.isTTY && !flags.once;
async function show(): Promise<boolean> {
  const states = await Promise.all(members.map(stateOf));
  let ring = "";
  try {
    const answer = await fetch(`http://127.0.0.1:${first}/ring`, {
      headers: { accept: "application/json" },
      signal: AbortSignal.timeout(800),
    });
    const r = (await answer.json()) as { shards: { id: string; state: string; share: number }[] };
    ring = r.shards.map((x) => `${x.id} ${x.state} ${(x.share * 100).toFixed(0)} %`).join(" · ");
  } catch {
    /* not up yet */
  }
  const lines = [
    `Cinderblock on http://127.0.0.1:${first} · data and logs in ${dir} · Ctrl-C stops it`,
    "",
    ...members.map(
      (m, i) =>
        `${m.name.padEnd(20)} ${String(m.port).padEnd(6)} ${String(m.child?.pid ?? "").padEnd(8)} ${rss(m).padStart(7)}  ${states[i]}`,
    ),
    "",
    `ring  ${ring}`,
  ];
  if (live) process.stdout.write("\x1b[2J\x1b[H");
  if (live || flags.once) console.log(lines.join("\n"));
  return states.every((s) => s === "ready" || s === "running");
}

let stopping = false;
async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  console.log("\nstopping: ingesters hand over first");
  const ended = (m: Member): Promise<unknown> =>
    m.ended !== "" || m.child === undefined ? Promise.resolve() : once(m.child, "exit");
  const end = async (list: readonly Member[]): Promise<void> => {
    for (const m of list) if (m.ended === "") m.child?.kill("SIGTERM");
    await Promise.race([Promise.all(list.map(ended)), sleep(40_000)]);
  };
  await end(members.filter((m) => m.name.startsWith("ingester")));
  await end(members.filter((m) => m.name !== "redis"));
  await end(members);
  s3?.stop();
  await broker?.kill();
  // Keeps the logs of a stopped cluster for the user; a check removes everything.
  if (flags.once && flags.dir === undefined) rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  process.exit(process.exitCode ?? 0);
}
process.on("SIGINT", () => {
  void stop();
});
process.on("SIGTERM", () => {
  void stop();
});

for (let ready = false, said = false; !stopping; ) {
  ready = await show();
  if (ready && flags.once) {
    await stop();
    break;
  }
  if (ready && !live && !said) {
    said = true;
    console.log(`Cinderblock is ready on http://127.0.0.1:${first}; data and logs in ${dir}`);
  }
  await sleep(ready ? 2000 : 500);
}
