import { describeWith, freePort, type RedisServer, startRedis, startS3Server } from "@cinderblock/testkit";
import { Cluster, type Component } from "./cluster.ts";
import { folder, Server } from "./server.ts";
import { until } from "./wait.ts";

const MEMBERS: Component[] = ["ingester", "store-gateway", "query-scheduler", "compactor"];

const ready = async (s: Server): Promise<{ status: number; text: string }> => {
  const r = await fetch(`${s.url}/ready`);
  return { status: r.status, text: await r.text() };
};
/** Failed heartbeats since the start of a process. */
const failures = async (s: Server): Promise<number> =>
  Number(
    /^cinderblock_process_loop_failures_total\{loop="heartbeat-[^"]*",late="false"\} (\d+)$/m.exec(
      await (await fetch(`${s.url}/metrics`)).text(),
    )?.[1],
  );
/** Waits until heartbeats have failed several times, and expects 503 with the cause each time. */
async function staysUnready(s: Server, ring: string, cause: RegExp): Promise<void> {
  await until(`heartbeats in the ring ${ring} fail`, async () => (await failures(s)) >= 3, 60_000);
  const { status, text } = await ready(s);
  expect([ring, status, text]).toEqual([
    ring,
    503,
    expect.stringContaining(`this process is not in the ring ${ring} yet: Redis at 127.0.0.1:`),
  ]);
  expect(text).toMatch(cause);
}

it("an ingester with a limit of 1 GiB on a node of 32 processors takes less than 350 MB when idle", async () => {
  const s = new Server(folder(), "ingester"),
    port = await freePort();
  const preload =
    "import os from 'node:os'; import { syncBuiltinESMExports } from 'node:module'; os.availableParallelism = () => 32; syncBuiltinESMExports();";
  s.env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}` };
  s.answers = async (path) => (await fetch(`${s.url}${path.replace("ready", "started")}`)).status === 200;
  await s.start("-ring.store=redis", `-redis.address=127.0.0.1:${port}`, `-memory.limit-bytes=${1024 ** 3}`);
  expect(s.log()).toMatch(
    /queryThreads=5 ingestThreads=5 .*memory budgets|memory budgets.*queryThreads=5 ingestThreads=5/,
  );
  const metrics = await (await fetch(`${s.url}/metrics`)).text(),
    rss = Number(/^process_resident_memory_bytes (\S+)$/m.exec(metrics)![1]);
  expect(rss).toBeGreaterThan(50e6);
  expect(rss).toBeLessThan(350e6);
  await s.stop("SIGKILL");
}, 60_000);

describeWith(["redis", "s3"], "readiness of processes of a cluster", () => {
  it("waits for Redis and a quorum, and outlasts an outage of Redis", async () => {
    const s3 = await startS3Server(["late"]),
      port = await freePort();
    const c = new Cluster({ port } as RedisServer, s3, "late", "-distributor.replication-factor=3");
    c.waitsUntilReady = false;
    await Promise.all([...MEMBERS, "distributor" as const].map((m) => c.startOne(m, 0)));
    for (const m of MEMBERS) {
      await staysUnready(c.get(m), m, /ECONNREFUSED 127\.0\.0\.1:\d+ \(-redis\.address\)/);
      // The start has ended: a restart of the process would not help.
      expect([m, (await fetch(`${c.get(m).url}/started`)).status]).toEqual([m, 200]);
    }
    const redis = await startRedis([], port),
      isReady = async (s: Server): Promise<boolean> => (await ready(s)).status === 200;
    for (const m of MEMBERS) await until(`${m} is ready`, () => isReady(c.get(m)), 60_000);
    const distributor = c.get("distributor");
    await until("the distributor knows one ingester", async () =>
      (await ready(distributor)).text.includes(
        "at least 2 live replicas required, could only find 1 (-distributor.replication-factor=3)",
      ),
    );
    await c.startOne("ingester", 1);
    await until("the distributor knows a quorum", () => isReady(distributor), 60_000);
    expect(await c.ring(distributor)).toEqual({ "ingester-0": "ACTIVE", "ingester-1": "ACTIVE" });
    await redis.kill();
    for (const s of c.members.values()) {
      const before = await failures(s);
      await until("heartbeats fail", async () => (await failures(s)) >= before + 2, 60_000);
      expect(await ready(s)).toEqual({ status: 200, text: "ready\n" });
    }
    await c.stop();
  }, 200_000);

  it("names a wrong password, a missing one, and a node of a Redis Cluster", async () => {
    const s3 = await startS3Server(["wrong", "missing", "sharded"]),
      guarded = await startRedis(["--requirepass", "right"]),
      sharded = await startRedis(["--cluster-enabled", "yes"]);
    const cases: [string, RedisServer, RegExp, ...string[]][] = [
      ["wrong", guarded, /WRONGPASS.*-redis\.password/, "-redis.password=wrong"],
      ["missing", guarded, /NOAUTH.*-redis\.password/],
      ["sharded", sharded, /Redis Cluster.*(MOVED|CLUSTERDOWN)/],
    ];
    await Promise.all(
      cases.map(async ([name, redis, cause, ...flags]) => {
        const c = new Cluster(redis, s3, name, ...flags);
        c.waitsUntilReady = false;
        await staysUnready(await c.startOne("query-scheduler", 0), "query-scheduler", cause);
        await c.stop();
      }),
    );
  }, 200_000);
});
