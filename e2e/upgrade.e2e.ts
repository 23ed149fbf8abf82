import {
  describeWith,
  type KafkaServer,
  part,
  type RedisServer,
  type S3Server,
  startKafka,
  startRedis,
  startS3Server,
} from "@cinderblock/testkit";
import { Cluster, type Component } from "./cluster.ts";
import { Drill } from "./drill.ts";
import { settle, until } from "./pusher.ts";
import type { Server } from "./server.ts";

let redis: RedisServer, s3: S3Server, kafka: KafkaServer, before: string;

/** The order of docs/operations/upgrading.md: readers, then holders of data, then writers. */
const ORDER: readonly Component[] = [
  "store-gateway",
  "querier",
  "query-scheduler",
  "query-frontend",
  "ingester",
  "distributor",
];

/** By docs/operations/upgrading.md: the previous release shows the token, this release also checks it. */
const TOKEN = "-auth.internal-token=internal-token-of-both-0123456789";

const ONLY_THIS = "nothing of the release before is left";
describeWith(
  ["redis", "s3", "kafka", "previous-release"],
  "this release and the one before, side by side",
  () => {
    beforeAll(async () => {
      redis = await startRedis();
      s3 = await startS3Server(["upgrade", "kafka-upgrade"]);
      kafka = await startKafka();
      before = part("previous-release");
    }, 60_000);

    it("with three replicas", async () => {
      const c = new Cluster(
        redis,
        s3,
        "upgrade",
        TOKEN,
        "-distributor.replication-factor=3",
        "-pyroscopedb.ship-interval=500ms",
        "-blocks-storage.bucket-store.sync-interval=500ms",
      );
      c.release = before;
      await c.start("ingester", 3);
      await Promise.all(ORDER.filter((n) => n !== "ingester").map((n) => c.start(n, 2)));
      const drill = new Drill(c, { seed: 20261126 });
      await settle(1500);
      const roll = (
        name: string,
        release: string,
        order: readonly Component[],
      ): [string, () => Promise<void>] => [
        name,
        async () => {
          c.release = release;
          for (const component of order) {
            for (let i = 0; i < (component === "ingester" ? 3 : 2); i++) {
              drill.note(`${name}: ${component}-${i}`);
              await c
                .get(component, i)
                .stop(component === "ingester" || component === "query-scheduler" ? "SIGKILL" : "SIGTERM"); // replays the other release's log; its schedulers stop slowly
              await c.startOne(component, i);
              if (component === "ingester")
                await until(
                  "it is ACTIVE again",
                  async () =>
                    Object.values(await c.ring(c.get("distributor"))).filter((s) => s === "ACTIVE").length ===
                    3,
                );
            }
            // Half of the processes run each release: answers stay correct.
            await settle(400);
          }
          drill.note(`${name}: flush`);
          await c.flush();
        },
      ];
      await drill.run([roll("to this release", ".", ORDER)]);
      await drill.run([
        [
          ONLY_THIS,
          async () => {
            await settle(1500);
            await c.flush();
            await settle(1500);
          },
        ],
      ]);
      await drill.run([roll("back to the one before", before, [...ORDER].reverse())]);
      // Queriers of this release compare rows that the previous release stored correctly.
      await drill.run([roll("queriers to this release again", ".", ["querier"])]);
      await drill.end();
      await c.stop();
    }, 400_000);

    it("with Kafka and two zones: records that one release had not uploaded when it died are uploaded by the other", async () => {
      const c = new Cluster(
        redis,
        s3,
        "kafka-upgrade",
        TOKEN,
        "-distributor.write-buffer=kafka",
        `-kafka.brokers=${kafka.brokers}`,
        "-kafka.topic=kafka-upgrade",
        "-kafka.auto-create-topic-partitions=4",
        "-pyroscopedb.ship-interval=500ms",
        "-blocks-storage.bucket-store.sync-interval=500ms",
      );
      const start = (name: Component, i: number): Promise<Server> =>
        c.startOne(
          name,
          i,
          ...(name === "ingester" ? [`-ingester.availability-zone=${i === 0 ? "a" : "b"}`] : []),
        );
      c.release = before;
      await Promise.all([0, 1].map((i) => start("ingester", i)));
      await Promise.all([
        c.start("store-gateway", 1),
        c.start("query-scheduler", 1),
        c.start("querier", 1),
        c.start("query-frontend", 1),
      ]);
      await c.start("distributor", 2);
      const drill = new Drill(c, { seed: 20261126, kafka: true, start });
      await settle(3000);
      const roll = (name: string, release: string): [string, () => Promise<void>] => [
        name,
        async () => {
          c.release = release;
          for (const i of [0, 1]) {
            drill.note(`${name}: ingester-${i}`);
            await c.get("ingester", i).stop("SIGKILL");
            await settle(500);
            await start("ingester", i);
            await settle(3000);
            await c.get("ingester", i).flush();
          }
          for (const n of ["querier", "distributor"] as const)
            for (let i = 0; i < (n === "distributor" ? 2 : 1); i++) {
              await c.get(n, i).stop("SIGTERM");
              await start(n, i);
            }
        },
      ];
      await drill.run([roll("to this release", ".")]);
      await drill.run([
        [
          ONLY_THIS,
          async () => {
            await settle(1500);
            await c.flush();
            await settle(1500);
          },
        ],
      ]);
      await drill.run([roll("back to the one before", before)]);
      c.release = ".";
      await c.get("querier").stop("SIGTERM");
      await c.startOne("querier", 0);
      await drill.end();
      await c.stop();
    }, 400_000);
  },
);
