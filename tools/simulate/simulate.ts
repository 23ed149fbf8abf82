// Simulates rings, placement and query queues at large scale, with the real code and a virtual clock:
// node tools/simulate/simulate.ts [--quick] writes docs/simulation.md (--quick: a tenth of everything,
// prints, writes nothing).
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  assignPartitions,
  encodeMember,
  type Member,
  type PlacementConfig,
  placementToken,
  replicasOf,
  RingSnapshot,
  RingView,
} from "@cinderblock/ring";
import { InMemoryMembers } from "@cinderblock/redis";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { Random } from "@cinderblock/testkit";
import type { JobResult, QueryJob } from "@cinderblock/query";
import { QueryScheduler } from "@cinderblock/query-scheduler";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const quick = process.argv.includes("--quick"),
  scale = quick ? 10 : 1;
const INGESTERS = 1000 / scale,
  SERVICES = 10_000 / scale,
  SERIES = 100_000 / scale,
  TENANTS = 10_000 / scale,
  TOKENS = 128,
  ZONES = ["a", "b", "c"];
const random = new Random(20261126);
const base = {
  log: createLogger({ level: "silent", format: "json" }),
  metrics: new Metrics(),
  tracer: noTracer,
  now: () => 0,
};
const progress = (text: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r${text.padEnd(60)}`);
  else process.stderr.write(`${text}\n`);
};

const member = (i: number, heartbeat = 1): Member => ({
  id: `ingester-${i}`,
  address: `10.0.${i >> 8}.${i & 255}:4040`,
  zone: ZONES[i % 3]!,
  state: "ACTIVE",
  tokens: tokensOf(i),
  heartbeat,
  registeredAtMs: 0,
});
const made = new Map<number, number[]>();
function tokensOf(i: number): number[] {
  let t = made.get(i);
  if (!t)
    made.set(i, (t = Array.from({ length: TOKENS }, () => random.below(2 ** 32)).sort((a, b) => a - b)));
  return t;
}
const ringOf = (n: number): RingSnapshot => new RingSnapshot(Array.from({ length: n }, (_, i) => member(i)));
const percent = (x: number): string => `${(100 * x).toFixed(2)} %`;
function spread(
  counts: ReadonlyMap<string, number>,
  n: number,
): { mean: number; least: number; most: number; p99: number } {
  const all = Array.from({ length: n }, (_, i) => counts.get(`ingester-${i}`) ?? 0).sort((a, b) => a - b),
    mean = all.reduce((a, b) => a + b, 0) / n;
  return { mean, least: all[0]! / mean, most: all.at(-1)! / mean, p99: all[Math.floor(n * 0.99)]! / mean };
}

interface Placed {
  /** services of each ingester */
  counts: Map<string, number>;
  /** ingesters of each service */
  sets: string[][];
}
const placed = (ring: RingSnapshot, config: PlacementConfig, tenants: number, services: number): Placed => {
  const counts = new Map<string, number>(),
    sets: string[][] = [];
  for (let t = 0; t < tenants; t++) {
    const tenant = `tenant-${t}`;
    for (let s = 0; s < services; s++) {
      const { members } = replicasOf(ring, tenant, placementToken(tenant, `service-${s}`), config);
      sets.push(members.map((m) => m.id));
      for (const m of members) counts.set(m.id, (counts.get(m.id) ?? 0) + 1);
    }
  }
  return { counts, sets };
};
const rf3 = (size = 0): PlacementConfig => ({ replicationFactor: 3, zoneAware: true, shardSize: () => size });
const started = performance.now();

// ---- balance
progress("balance of writes");
const ring = ringOf(INGESTERS);
const balance = (
  [
    ["one tenant, all ingesters", placed(ring, rf3(), 1, SERVICES), INGESTERS],
    [
      `${TENANTS.toLocaleString("en")} tenants of 10 services, all ingesters`,
      placed(ring, rf3(), TENANTS, 10),
      INGESTERS,
    ],
    [
      `${TENANTS.toLocaleString("en")} tenants of 10 services, 9 ingesters each`,
      placed(ring, rf3(9), TENANTS, 10),
      INGESTERS,
    ],
  ] as const
).map(([what, { counts }, n]) => ({ what, ...spread(counts, n) }));
const noTwoInAZone = placed(ring, rf3(), 1, 1000).sets.every(
  (ids) => new Set(ids.map((id) => ZONES[Number(id.slice(9)) % 3])).size === 3,
);
const seriesPerService = SERIES / SERVICES;

// ---- movement
progress("movement when ingesters come and go");
const before = placed(ring, rf3(), 1, SERVICES).sets,
  beforeShards = placed(ring, rf3(9), TENANTS, 10).sets;
const moved = (a: readonly string[][], b: readonly string[][]): number =>
  a.reduce((n, ids, k) => n + ids.filter((id) => !b[k]!.includes(id)).length, 0) /
  a.reduce((n, ids) => n + ids.length, 0);
const movement = [1, 3, 30].map((more) => {
  const larger = ringOf(INGESTERS + more);
  return {
    more,
    all: moved(before, placed(larger, rf3(), 1, SERVICES).sets),
    shards: moved(beforeShards, placed(larger, rf3(9), TENANTS, 10).sets),
    ideal: more / (INGESTERS + more),
  };
});
const away = new RingSnapshot(
  ring.members,
  new Set(ring.members.filter((_, i) => i % 100 === 0).map((m) => m.id)),
);
const oneInAHundredAway = moved(before, placed(away, rf3(), 1, SERVICES).sets);

// ---- partitions of the log
progress("partitions of the log");
const partitions = (owners: readonly string[], count: number): Map<number, string> => {
  const sorted = [...owners].sort(),
    owner = assignPartitions(count, sorted);
  return new Map([...owner.keys()].map((p) => [p, sorted[owner[p]!]!]));
};
const P = 2000 / scale,
  zoneOwners = Array.from({ length: Math.floor(INGESTERS / 3) }, (_, i) => `ingester-a-${i}`);
const wasOwned = partitions(zoneOwners, P),
  isOwned = partitions([...zoneOwners, `ingester-a-${zoneOwners.length}`], P);
const partitionMovement = [...wasOwned].filter(([p, o]) => isOwned.get(p) !== o).length / P;

// ---- shuffle shards
progress("tenants that share ingesters");
let shared = 0,
  wholly = 0;
const PAIRS = 2000;
for (let k = 0; k < PAIRS; k++) {
  const a = new Set(ring.shuffleShard(`tenant-${random.below(TENANTS)}`, 9).members.map((m) => m.id)),
    b = ring.shuffleShard(`other-${random.below(TENANTS)}`, 9).members;
  const common = b.filter((m) => a.has(m.id)).length;
  if (common > 0) shared++;
  if (common >= 5) wholly++;
}

// ---- heartbeats, by a virtual clock
progress("heartbeats by a virtual clock");
let now = 0;
class Store extends InMemoryMembers {
  away = false;
  override read(r: string): ReturnType<InMemoryMembers["read"]> {
    return this.away ? Promise.reject(new Error("away")) : super.read(r);
  }
}
const store = new Store(),
  view = new RingView(
    store,
    { ring: "ingester", refreshMs: 1e9, heartbeatTimeoutMs: 60_000, forgetAfterMs: 0 },
    base,
    () => now,
  );
const alive = new Set(Array.from({ length: INGESTERS }, (_, i) => i)),
  beats = new Map<number, number>();
const unhealthy = (): number => view.snapshot.members.filter((m) => !view.snapshot.isHealthy(m)).length;
async function run(seconds: number, each: (s: number) => void = () => undefined): Promise<void> {
  for (let s = 0; s < seconds; s += 5) {
    now += 5000;
    if (!store.away)
      for (const i of alive) {
        const b = (beats.get(i) ?? 0) + 1;
        beats.set(i, b);
        await store.write("ingester", `ingester-${i}`, encodeMember(member(i, b)));
      }
    await view.refresh();
    each(s + 5);
  }
}
await run(60);
const quiet = unhealthy();
const victims = [...alive].filter((i) => i % 20 === 0);
for (const i of victims) alive.delete(i);
let detected = 0;
await run(120, (s) => {
  if (detected === 0 && unhealthy() === victims.length) detected = s;
});
store.away = true;
await run(600);
const whileAway = { members: view.snapshot.members.length, unhealthy: unhealthy() };
store.away = false;
await run(10);
const afterAway = unhealthy();
for (const i of [...beats.keys()]) await store.remove("ingester", `ingester-${i}`); // flushed
now += 1000;
await view.refresh();
const members = view.snapshot.members.length;
for (const i of victims) alive.add(i);
await run(120);
const recovered = unhealthy();

// ---- the queues of a scheduler
progress("queues of a scheduler");
const scheduler = new QueryScheduler(
  { maxOutstanding: 1e9, maxQueriers: (t) => (t.startsWith("limited") ? 10 : 0), querierForgetMs: 1e9 },
  base,
);
const QUERIERS = 100,
  FLOOD = 50_000 / scale,
  CALM = TENANTS;
const order: string[] = [],
  done: Promise<JobResult>[] = [];
for (let i = 0; i < FLOOD; i++)
  done.push(
    scheduler.enqueue(
      "flood",
      { kind: "blocks", startMs: 0, endMs: 1, of: { query: "flood", part: i } } as QueryJob,
      Infinity,
    ),
  );
for (let t = 0; t < CALM; t++)
  done.push(scheduler.enqueue(`calm-${t}`, { kind: "blocks", startMs: 0, endMs: 1 }, Infinity));
const result: JobResult = { kind: "blocks", recent: [], stored: [], warnings: [] };
const stop = new AbortController();
const loops = Array.from({ length: QUERIERS }, async (_, q) => {
  for (;;) {
    const t = await scheduler.next(`querier-${q}`, stop.signal);
    if (t === undefined) return;
    order.push(t.tenant);
    t.done(result);
  }
});
await Promise.all(done);
stop.abort();
await Promise.all(loops);
const floodBefore = (t: string): number =>
  order.slice(0, order.indexOf(t)).filter((x) => x === "flood").length;
const lastCalm = order.findLastIndex((t) => t !== "flood"),
  floodServed = order.slice(0, lastCalm).filter((t) => t === "flood").length;

progress("");
if (process.stderr.isTTY) process.stderr.write("\n");
const n = (x: number): string => x.toLocaleString("en");
const text = `# Simulation

Written by \`node tools/simulate/simulate.ts\` at commit ${execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim()}, in ${((performance.now() - started) / 1000).toFixed(0)} s on one of ${cpus().length} cores. It runs the code that the components run (\`libs/ring\`, \`apps/query-scheduler\`), with a virtual clock.

${n(INGESTERS)} ingesters in three zones, ${TOKENS} tokens each; three replicas, one in each zone${noTwoInAZone ? "" : " (NOT HELD)"}.

## Balance

How many services an ingester holds; each of one tenant's ${n(SERVICES)} services has ${seriesPerService} series, ${n(SERIES)} in all.

| tenants | mean | least | 99th of 100 | most |
|---|---:|---:|---:|---:|
${balance.map((b) => `| ${b.what} | ${b.mean.toFixed(1)} | ${b.least.toFixed(2)} x | ${b.p99.toFixed(2)} x | ${b.most.toFixed(2)} x |`).join("\n")}

An ingester with 1.5 times the mean is the price of ${TOKENS} random tokens; more tokens (\`-ingester.num-tokens\`) even it out.

## Movement

Replicas that are elsewhere afterwards; the replicas that had to move are the new ingesters' share.

| ingesters come | share that moved | with 9 ingesters for a tenant | had to |
|---:|---:|---:|---:|
${movement.map((m) => `| ${m.more} | ${percent(m.all)} | ${percent(m.shards)} | ${percent(m.ideal)} |`).join("\n")}

One in a hundred is away: ${percent(oneInAHundredAway)} of the replicas are written elsewhere until it is back.

Of ${n(P)} partitions of the log over ${n(zoneOwners.length)} owners of a zone ${percent(partitionMovement)} change their owner when one comes (it had to: ${percent(1 / (zoneOwners.length + 1))}), and nobody owns more than ${Math.ceil(P / zoneOwners.length)}. An owner that takes a partition over continues at the committed offset: records that were not uploaded yet are read twice.

## Tenants that share ingesters

With nine ingesters for each tenant, two tenants have at least one in common in ${percent(shared / PAIRS)} of ${n(PAIRS)} pairs, and five or more in ${percent(wholly / PAIRS)}: a tenant that overloads its ingesters touches few others, and leaves nearly all of them a quorum.

## Heartbeats

A heartbeat every 5 s, a timeout of 60 s.

| what happens | what a process sees |
|---|---|
| nothing, for a minute | ${quiet} unhealthy |
| ${victims.length} of ${n(INGESTERS)} die at once | all of them unhealthy after ${detected} s, nobody else |
| Redis is away for ten minutes | ${n(whileAway.members)} members, ${whileAway.unhealthy} unhealthy: as before |
| Redis is back, 10 s later | ${afterAway} unhealthy: every clock began again |
| Redis is back with nothing in it | ${n(members)} members at once after: an empty ring is not believed |
| everybody beats again, two minutes | ${recovered} unhealthy |

## Queues

One scheduler, ${QUERIERS} queriers. A tenant puts ${n(FLOOD)} parts of a query into its queue, then ${n(CALM)} other tenants ask one question each.

| figure | value | bound |
|---|---:|---:|
| questions of the flood before the first other tenant's | ${floodBefore("calm-0")} | 1 |
| before the last other tenant's | ${floodServed} | 1 |

`;
if (quick) process.stdout.write(text);
else writeFileSync(join(root, "docs/simulation.md"), text);
