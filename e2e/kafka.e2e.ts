import { rmSync } from "node:fs";
import { join } from "node:path";
import { type KafkaServer, type RedisServer, type S3Server, startKafka, startRedis, startS3Server } from "@cinderblock/testkit";
import { Cluster, type Component } from "./cluster.ts";
import { Oracle } from "./oracle.ts";
import { Pusher, settle, total, until } from "./pusher.ts";
import type { Server } from "./server.ts";

const oracle = new Oracle();
let redis: RedisServer | undefined, s3: S3Server | undefined, kafka: KafkaServer | undefined;
beforeAll(async () => { redis = await startRedis(); s3 = await startS3Server(["kafka-answers", "kafka-faults", "kafka-disk", "kafka-owners"]); kafka = await startKafka(); }, 600_000);
afterAll(async () => { s3?.stop(); await redis?.kill(); await kafka?.kill(); });
const here = (): boolean => redis !== undefined && s3 !== undefined && kafka !== undefined; // what is missing was said when it was looked for

const STRONG = { "x-read-consistency": "strong" };
function kafkaCluster(bucket: string): Cluster {
  return new Cluster(redis!, s3!, bucket, "-distributor.write-buffer=kafka", `-kafka.brokers=${kafka!.brokers}`, `-kafka.topic=${bucket}`, "-kafka.auto-create-topic-partitions=4");
}
async function partitions(server: Server): Promise<{ partition: number; owner: string; position: number; committed: number; end: number }[]> {
  return ((await (await fetch(`${server.url}/partitions`, { headers: { accept: "application/json" } })).json()) as { partitions: { partition: number; owner: string; position: number; committed: number; end: number }[] }).partitions;
}

describe("Kafka between distributors and ingesters", () => {
  (oracle.ready ? it : it.skip)("gives v1's answers, from memory, and after a flush", async () => {
    if (!here()) return;
    const c = kafkaCluster("kafka-answers");
    await c.start("ingester", 2);
    await Promise.all([c.start("store-gateway", 1), c.start("query-scheduler", 1), c.start("querier", 1)]);
    await Promise.all([c.start("distributor", 2), c.start("query-frontend", 1)]);
    const base = Math.floor(Date.now() / 3600_000) * 3600_000 - 3600_000;
    expect(oracle.run("push", "-load", oracle.load, "-url", c.get("distributor", 1).url, "-base", String(base))).toContain("1040 profiles");
    // A strong read waits until everything that was acknowledged is read.
    const frontend = c.get("query-frontend");
    expect((await frontend.json("/querier.v1.QuerierService/ProfileTypes", { start: String(base), end: String(base + 3600_000) }, STRONG)).status).toBe(200);
    const head = oracle.compare(join(oracle.data!, "answers/head"), oracle.ask(frontend, base, "kafka-head"));
    expect(oracle.surprising(head.differ)).toEqual([]);
    expect(head.equal).toBeGreaterThanOrEqual(351);
    await c.flush();
    const same = oracle.compare(join(oracle.work, "kafka-head"), oracle.ask(frontend, base, "kafka-flushed"), "-tolerance", "0").differ.filter((d) => !d.startsWith("analyze."));
    expect(same).toEqual([]);
    await c.stop();
  }, 300_000);

  it("gives every partition one owner, commits what is in the bucket, and refuses bad pushes as without it", async () => {
    if (!here()) return;
    const c = kafkaCluster("kafka-owners");
    await c.start("ingester", 2);
    await Promise.all([c.start("store-gateway", 1), c.start("distributor", 1)]);
    const pusher = new Pusher(() => c.of("distributor"), 2);
    await settle(1500);
    await pusher.stop();
    expect([pusher.refused, pusher.acknowledged.size > 20]).toEqual([0, true]);
    await c.flush();
    // Every partition has one owner, and what is in the bucket is committed.
    await until("all offsets are committed", async () => { const p = await partitions(c.get("distributor")); return p.length === 4 && p.every((x) => x.committed === x.end) && p.some((x) => x.end > 0); }, 40_000);
    expect(new Set((await partitions(c.get("distributor"))).map((p) => p.owner)).size).toBe(2);
    const bad = await c.get("distributor").json("/push.v1.PusherService/Push", { series: [] });
    expect([bad.status, bad.body.code]).toEqual([400, "invalid_argument"]);
    const large = await fetch(`${c.get("distributor").url}/ingest?name=big&from=now-1m&until=now`, { method: "POST", body: Buffer.alloc(9 << 20, "main;work 1\n") });
    expect([large.status, await large.text()]).toEqual([400, expect.stringContaining("-kafka.max-record-bytes")]);
    await c.stop();
  }, 120_000);

  it("loses nothing and counts nothing twice: two zones, kill -9 of ingesters, distributor and Kafka, a lost disk", async () => {
    if (!here()) return;
    const c = kafkaCluster("kafka-faults");
    const zone = (i: number): string => `-ingester.availability-zone=${i < 2 ? "a" : "b"}`;
    const start = (name: Component, i: number): Promise<Server> => c.startOne(name, i, ...(name === "ingester" ? [zone(i)] : []));
    await Promise.all([0, 1, 2].map((i) => start("ingester", i)));
    await Promise.all([c.start("store-gateway", 1), c.start("query-scheduler", 1), c.start("querier", 1), c.start("query-frontend", 1)]);
    await c.start("distributor", 2);
    const frontend = c.get("query-frontend");
    const pusher = new Pusher(() => c.of("distributor"), 3);
    const wrong: string[] = [];
    const asking = { now: true };
    let asked = 0, answered = 0;
    const asker = (async () => {
      while (asking.now) {
        const before = pusher.acknowledged.size;
        const t = await total(frontend, pusher, STRONG).catch(() => undefined);
        asked++;
        if (t?.status !== 200 || t.partial !== "") continue; // said so
        answered++;
        if (t.sum < before) wrong.push(`${t.sum} of ${before}`);
      }
    })();
    const kill = async (name: Component, i: number, away: number, meanwhile = (): void => undefined): Promise<void> => {
      await c.get(name, i).stop("SIGKILL");
      meanwhile();
      await settle(away);
      await start(name, i);
    };
    await settle(3000);
    await kill("ingester", 0, 5000); // longer than the heartbeat timeout: another of its zone takes its partitions
    await kill("distributor", 0, 500);
    await c.flush();
    await settle(1000);
    await kill("ingester", 2, 1000, () => rmSync(join(c.get("ingester", 2).dir, "db"), { recursive: true }));
    await kafka!.kill();
    const during = pusher.acknowledged.size;
    await settle(2000);
    await kafka!.start();
    await until("pushes are taken again", () => Promise.resolve(pusher.acknowledged.size > during + 50), 60_000);
    await pusher.stop();
    asking.now = false;
    await asker;
    let end = await total(frontend, pusher, STRONG);
    await until("a strong answer", async () => { end = await total(frontend, pusher, STRONG); return end.status === 200 && end.partial === ""; }, 60_000);
    process.stdout.write(`     ${pusher.acknowledged.size} acknowledged, ${pusher.refused} refused, ${asked} strong queries, ${answered} whole, ${end.sum} found\n`);
    expect(wrong).toEqual([]);
    expect(end.sum).toBeGreaterThanOrEqual(pusher.acknowledged.size);
    expect(end.sum).toBeLessThanOrEqual(pusher.acknowledged.size + pusher.refused);
    expect(answered).toBeGreaterThan(5);
    await c.stop();
  }, 300_000);

  it("an ingester without its disk reads again what no block holds; one that leaves commits all it read", async () => {
    if (!here()) return;
    const c = kafkaCluster("kafka-disk");
    await c.start("ingester", 1);
    await Promise.all([c.start("store-gateway", 1), c.start("query-scheduler", 1), c.start("querier", 1), c.start("query-frontend", 1)]);
    await c.start("distributor", 1);
    const frontend = c.get("query-frontend"), ingester = c.get("ingester");
    const pusher = new Pusher(() => c.of("distributor"), 2);
    await settle(2000);
    await c.flush();
    await settle(2000);
    await pusher.stop();
    expect((await total(frontend, pusher, STRONG)).sum).toBe(pusher.acknowledged.size);
    await ingester.stop("SIGKILL");
    rmSync(join(ingester.dir, "db"), { recursive: true });
    await c.startOne("ingester", 0);
    await until("the records are read again", async () => { const t = await total(frontend, pusher, STRONG); return t.status === 200 && t.partial === "" && t.sum === pusher.acknowledged.size; }, 60_000);
    expect(await ingester.stop("SIGTERM")).toBe(0);
    rmSync(join(ingester.dir, "db"), { recursive: true });
    await c.startOne("ingester", 0);
    await until("everything is committed", async () => { const p = await partitions(ingester); return p.length === 4 && p.every((x) => x.committed === x.end); }, 30_000);
    expect((await total(frontend, pusher, STRONG)).sum).toBe(pusher.acknowledged.size);
    // Without readers a strong read says so at its deadline, another answers with what is in the bucket.
    await c.get("distributor").stop("SIGTERM");
    await c.stop();
  }, 200_000);
});
