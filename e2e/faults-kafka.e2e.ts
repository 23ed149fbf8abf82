import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  describeWith,
  type FaultProxy,
  faultProxy,
  type KafkaServer,
  type RedisServer,
  type S3Server,
  startKafka,
  startRedis,
  startS3Server,
} from "@cinderblock/testkit";
import { Cluster, type Component } from "./cluster.ts";
import { type Accident, Drill } from "./drill.ts";
import { checkAnswer } from "./history/checker.ts";
import { ask } from "./history/questions.ts";
import { Pusher, settle, total, until } from "./pusher.ts";
import type { Server } from "./server.ts";

let redis: RedisServer, s3: S3Server, kafka: KafkaServer, proxy: FaultProxy;

const STRONG = { "x-read-consistency": "strong" };
const LONG = Boolean(process.env.CINDERBLOCK_LONG);
const kafkaAdmin = async (...args: string[]): Promise<unknown> =>
  JSON.parse(
    (await promisify(execFile)(process.execPath, ["e2e/kafka-admin.ts", kafka.brokers, ...args])).stdout,
  );

function kafkaCluster(bucket: string, endpoint = s3.endpoint, ...flags: string[]): Cluster {
  return new Cluster(
    redis,
    { ...s3, endpoint },
    bucket,
    "-distributor.write-buffer=kafka",
    `-kafka.brokers=${kafka.brokers}`,
    `-kafka.topic=${bucket}`,
    "-kafka.auto-create-topic-partitions=4",
    "-pyroscopedb.ship-interval=500ms",
    "-blocks-storage.bucket-store.sync-interval=500ms",
    "-ingester.kafka-learn-period=1m",
    ...flags,
  );
}
/** Zones: the first two ingesters are in zone a, the others in zone b. */
const starting =
  (c: Cluster) =>
  (name: Component, i: number): Promise<Server> =>
    c.startOne(name, i, ...(name === "ingester" ? [`-ingester.availability-zone=${i < 2 ? "a" : "b"}`] : []));
const dataOf = (c: Cluster, i: number): string => join(c.get("ingester", i).dir, "db");

describeWith(["redis", "s3", "kafka"], "faults of a cluster with Kafka and two zones", () => {
  beforeAll(async () => {
    redis = await startRedis();
    s3 = await startS3Server(["kafka-drill", "kafka-uploads", "kafka-anew"]);
    kafka = await startKafka();
    proxy = await faultProxy(s3.endpoint);
  }, 60_000);
  afterAll(() => {
    proxy.stop();
  });

  it("kill -9 of everything, two together, a lost disk, Kafka restarted and unreachable, a stalled ingester, a lost ingester, deleted groups: every acknowledged profile counts once", async () => {
    const c = kafkaCluster("kafka-drill"),
      start = starting(c);
    await Promise.all([0, 1, 2, 3].map((i) => start("ingester", i)));
    await Promise.all([
      c.start("store-gateway", 2),
      c.start("query-scheduler", 2),
      c.start("querier", 2),
      c.start("query-frontend", 2),
    ]);
    await c.start("distributor", 2);
    const drill = new Drill(c, { seed: 20261126, kafka: true, start });
    await settle(3000);
    const withoutDisk = (i: number): Accident => {
      const [name, happen] = drill.kill("ingester", i, [500, 1500], () =>
        rmSync(dataOf(c, i), { recursive: true }),
      );
      return [`${name}, its disk is lost`, happen];
    };
    await drill.run([
      drill.kill("ingester", 0, [4000, 6000]),
      drill.kill("ingester", 2, [300, 1500]),
      drill.kill("distributor", 1),
      drill.kill("querier", 0),
      drill.both(drill.kill("ingester", 1, [300, 1500]), drill.kill("distributor", 0)),
      withoutDisk(3),
      drill.pause("ingester", drill.random.below(4), LONG ? 60_000 : 10_000),
      [
        "zone a flushes, zone b is paused",
        async () => {
          for (const i of [2, 3]) c.get("ingester", i).child!.kill("SIGSTOP");
          await Promise.all([0, 1].map((i) => c.get("ingester", i).flush()));
          await settle(1500);
          for (const i of [2, 3]) c.get("ingester", i).child!.kill("SIGCONT");
        },
      ],
      [
        "Kafka is restarted",
        async () => {
          await kafka.kill();
          await kafka.start();
        },
      ],
      [
        "Kafka is away",
        async () => {
          await kafka.kill();
          await settle(LONG ? 30_000 : 8000);
          await kafka.start();
        },
      ],
      [
        "both zones flush",
        async () => {
          await c.flush();
        },
      ],
    ]);
    await drill.run([
      [
        "an ingester goes without handing over, and never comes back; the groups of its zone are deleted",
        async () => {
          await c.get("ingester", 3).stop("SIGKILL");
          rmSync(dataOf(c, 3), { recursive: true });
          c.members.delete("ingester-3");
          await until(
            "its silence is noticed",
            async () => (await c.ring(c.get("distributor")))["ingester-3"] === "UNHEALTHY",
          );
          await fetch(`${c.get("distributor").url}/ring`, {
            method: "POST",
            body: new URLSearchParams({ forget: "ingester-3" }),
          });
          await c.get("ingester", 2).stop("SIGKILL");
          await until(
            "groups can be deleted",
            async () => ((await kafkaAdmin("delete-groups", "kafka-drill-b-")) as string[]).length > 0,
            30_000,
          );
          await start("ingester", 2);
        },
      ],
    ]);
    await drill.end();
    // Answers from only the bucket.
    await c.flush();
    await settle(2000);
    for (const i of [0, 1, 2]) expect(await c.get("ingester", i).stop("SIGTERM")).toBe(0);
    await until(
      "the bucket alone has everything",
      async () => {
        const a = await ask(c.get("query-frontend"), "cpu", false, drill.range);
        return a.status === 200 && a.partial === "" && checkAnswer(drill.history, a).length === 0;
      },
      30_000,
    );
    await c.stop();
  }, 600_000);

  it("an uploader killed or stalled before or after each of its requests: no gap and no duplicate", async () => {
    const c = kafkaCluster("kafka-uploads", proxy.address),
      start = starting(c);
    await Promise.all([0, 1].map((i) => start("ingester", i))); // one zone: no other ingester has the rows
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1),
      c.start("query-frontend", 1),
      c.start("distributor", 1),
    ]);
    const drill = new Drill(c, { seed: 20261128, kafka: true, start });
    await settle(2000);
    /** The upload of a block is four files, the meta last; the commit of the offsets follows. */
    const at = (step: number, signal: "SIGKILL" | "SIGSTOP"): Accident => [
      `${signal} of an uploader at its request ${step}`,
      async () => {
        let puts = 0,
          hit = false;
        const victim = c.get("ingester", step % 2);
        proxy.decide = ({ method }) => {
          if (method !== "PUT" || hit || puts++ < step) return undefined;
          hit = true;
          victim.child!.kill(signal);
          return { delayMs: 50 };
        };
        void victim.flush().catch(() => undefined);
        await until("it is hit", () => Promise.resolve(hit), 10_000).catch(() => {
          victim.child!.kill(signal); /* fewer requests than expected: kill after the last */
        });
        proxy.decide = () => undefined;
        // Long enough for the other ingester to take over the partitions and upload the same rows.
        await settle(signal === "SIGSTOP" ? 5000 : drill.between(200, 4500));
        await c.get("ingester", 1 - (step % 2)).flush();
        if (signal === "SIGSTOP") victim.child!.kill("SIGCONT");
        else await start("ingester", step % 2);
        await settle(1500);
      },
    ];
    await drill.run([...[0, 1, 2, 3, 4].map((s) => at(s, "SIGKILL")), at(1, "SIGSTOP"), at(3, "SIGSTOP")]);
    await drill.end(3 * 7); // one zone: a partition moves to an ingester without replicas
    await c.stop();
  }, 400_000);

  it("a recreated topic, partitions without writes: reads continue, and new records count", async () => {
    const c = kafkaCluster("kafka-anew");
    await c.start("ingester", 2);
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1),
      c.start("query-frontend", 1),
      c.start("distributor", 1),
    ]);
    const frontend = c.get("query-frontend"),
      start = Math.floor(Date.now() / 3600_000) * 3600_000 - 1800_000;
    // One service: three of the four partitions stay empty, and strong reads do not wait for them.
    const first = new Pusher(() => c.of("distributor"), 1, start, {}, 1);
    await settle(1500);
    await first.stop();
    expect((await total(frontend, first, STRONG)).sum).toBe(first.acknowledged.size);
    await c.flush();
    const states = async (): Promise<{ committed: number; end: number; position: number }[]> =>
      (
        (await (
          await fetch(`${c.get("distributor").url}/partitions`, { headers: { accept: "application/json" } })
        ).json()) as { partitions: { committed: number; end: number; position: number }[] }
      ).partitions;
    await until(
      "everything is committed",
      async () => (await states()).every((p) => p.committed === p.end),
      40_000,
    );
    await kafkaAdmin("delete-topic", "kafka-anew");
    await settle(1000);
    await kafkaAdmin("create-topic", "kafka-anew", "4");
    const second = new Pusher(() => c.of("distributor"), 1, start + 600_000, {}, 2);
    await until("pushes are taken again", () => Promise.resolve(second.acknowledged.size > 20), 90_000);
    await second.stop();
    let t = { sum: 0, partial: "", status: 0, text: "" };
    await until(
      "a whole answer",
      async () => {
        t = await total(frontend, first, STRONG);
        return (
          t.status === 200 && t.partial === "" && t.sum >= first.acknowledged.size + second.acknowledged.size
        );
      },
      60_000,
    );
    expect(t.sum).toBeLessThanOrEqual(first.begun + second.begun);
    await c.stop();
  }, 300_000);
});
