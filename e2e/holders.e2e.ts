import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import {
  describeWith,
  type FaultProxy,
  faultProxy,
  type RedisServer,
  type S3Server,
  startRedis,
  startS3Server,
} from "@cinderblock/testkit";
import { Cluster } from "./cluster.ts";
import { Pusher, settle, total, until } from "./pusher.ts";

let redis: RedisServer, s3: S3Server, proxy: FaultProxy;

const READERS = ["store-gateway", "query-scheduler", "querier", "query-frontend"] as const;
const WRITES = new Set(["PUT", "POST", "DELETE"]);

/** A cluster with one replica of each component, and the profiles pushed to it. */
async function pushed(
  bucket: string,
  ingesters: number,
  ...flags: string[]
): Promise<{ c: Cluster; pusher: Pusher }> {
  const c = new Cluster(
    redis,
    { ...s3, endpoint: proxy.address },
    bucket,
    "-distributor.replication-factor=1",
    "-pyroscopedb.ship-interval=500ms",
    ...flags,
  );
  await c.start("ingester", ingesters);
  await Promise.all(READERS.map((r) => c.start(r, 1)));
  await c.start("distributor", 1);
  const pusher = new Pusher(() => c.of("distributor"), 2, undefined, {}, 40);
  await until("enough was pushed", () => Promise.resolve(pusher.acknowledged.size >= 300));
  await pusher.stop();
  return { c, pusher };
}
/** Entries of the roster. */
const roster = (bucket: string): string[] => {
  const dir = join(s3.directory, bucket, "__pyroscope_cluster/cinderblock/ingesters");
  return existsSync(dir) ? readdirSync(dir).sort() : [];
};
interface Answer {
  found: number;
  partial: string;
}
const ask = async (c: Cluster, p: Pusher): Promise<Answer> => {
  const { sum, partial } = await total(c.get("query-frontend"), p);
  return { found: sum, partial };
};

describeWith(["redis", "s3"], "ingesters that hold data of their own", () => {
  beforeAll(async () => {
    redis = await startRedis();
    s3 = await startS3Server(["emptied", "handing-over", "unindexed"]);
    proxy = await faultProxy(s3.endpoint);
  }, 60_000);
  afterAll(() => proxy.stop());

  it("stay known after Redis is emptied, also to a querier that starts later, until an operator forgets them", async () => {
    const { c, pusher } = await pushed("emptied", 3);
    const all = pusher.acknowledged.size;
    expect(await ask(c, pusher)).toEqual({ found: all, partial: "" });
    expect(roster("emptied")).toEqual(["ingester-0", "ingester-1", "ingester-2"]);
    await c.get("ingester", 0).stop("SIGKILL");
    await redis.kill();
    await redis.start();
    await until(
      "the living have written themselves back",
      async () => (await c.ring(c.get("distributor")))["ingester-1"] === "ACTIVE",
    );
    await settle(5000);
    const dead = await ask(c, pusher);
    expect(dead.found).toBeLessThan(all);
    expect(dead.partial).toContain("ingester ingester-0 did not respond");
    await c.get("querier").stop("SIGTERM");
    await c.startOne("querier", 0);
    expect((await ask(c, pusher)).partial).toContain("ingester ingester-0 did not respond");
    expect((await c.ring(c.get("querier")))["ingester-0"]).toBe("UNHEALTHY"); // only from the roster
    // The ingester restarts with its disk, and then leaves permanently.
    await c.startOne("ingester", 0);
    await until("everything is found", async () => (await ask(c, pusher)).found === all);
    expect((await ask(c, pusher)).partial).toBe("");
    await c.get("ingester", 0).stop("SIGKILL");
    const page = await fetch(`${c.get("distributor").url}/ring`, {
      method: "POST",
      body: new URLSearchParams({ forget: "ingester-0" }),
    });
    expect(page.status).toBe(200);
    expect(roster("emptied")).toEqual(["ingester-1", "ingester-2"]);
    await until("nobody waits for it", async () => (await ask(c, pusher)).partial === "");
    await c.stop();
  }, 200_000);

  it("that stop during a bucket outage make answers partial until they are back", async () => {
    const { c, pusher } = await pushed("handing-over", 2, "-server.graceful-shutdown-timeout=4s");
    const all = pusher.acknowledged.size;
    proxy.decide = ({ method }) => (WRITES.has(method) ? { status: 503 } : undefined);
    expect(await c.get("ingester", 0).stop("SIGTERM")).toBe(0);
    const without = await ask(c, pusher);
    expect(without.found).toBeLessThan(all);
    expect(without.partial).toContain("ingester ingester-0 did not respond");
    proxy.decide = () => undefined;
    await c.startOne("ingester", 0);
    await until("everything is found", async () => (await ask(c, pusher)).found === all);
    expect(await c.get("ingester", 0).stop("SIGTERM")).toBe(0);
    expect(roster("handing-over")).toEqual(["ingester-1"]);
    await until("its blocks are found", async () => (await ask(c, pusher)).found === all);
    expect((await ask(c, pusher)).partial).toBe("");
    await c.stop();
  }, 200_000);

  it("hand over blocks that a store-gateway finds after a restart, without an entry in the bucket index", async () => {
    const { c, pusher } = await pushed("unindexed", 2);
    const all = pusher.acknowledged.size;
    expect(await c.get("ingester", 0).stop("SIGTERM")).toBe(0);
    expect(await c.get("ingester", 1).stop("SIGTERM")).toBe(0);
    expect(await ask(c, pusher)).toEqual({ found: all, partial: "" });
    // A recent index that does not name the blocks.
    await c.start("compactor", 1, "-compactor.cleanup-interval=500ms", "-compactor.enabled=false");
    const index = join(s3.directory, "unindexed", "anonymous/phlaredb/bucket-index.json.gz");
    await until("the index is written", () => Promise.resolve(existsSync(index)));
    await c.get("compactor").stop("SIGKILL");
    writeFileSync(
      index,
      gzipSync(
        JSON.stringify({
          version: 3,
          blocks: [],
          block_deletion_marks: [],
          updated_at: Math.floor(Date.now() / 1000),
        }),
      ),
    );
    await c.get("store-gateway").stop("SIGTERM");
    await c.startOne("store-gateway", 0);
    await until("the store-gateway answers", async () => (await ask(c, pusher)).found > 0);
    expect(await ask(c, pusher)).toEqual({ found: all, partial: "" });
    await c.stop();
  }, 200_000);
});
