import { sleep } from "@cinderblock/async";
import { describeWith, type KafkaServer, startKafka } from "@cinderblock/testkit";
import { endOffsets, KafkaLog } from "./index.ts";
import { alter, configOf, createTopic, SAFE, withAdmin } from "./kafka-topics.testing.ts";
import { Metrics } from "@cinderblock/telemetry";
import { base, Seen } from "./partitioned-log.testing.ts";

let kafka: KafkaServer;
const start = async (): Promise<void> => {
  kafka ??= await startKafka();
};
async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await holds()) return;
    await sleep(100);
  }
  throw new Error(`${what}: not within 40 s`);
}

describeWith(["kafka"], "a topic whose settings are changed while it is used", () => {
  beforeAll(start, 60_000);

  it("is refused while it would lose pushes, and its current retention applies", async () => {
    const log = new KafkaLog(configOf(kafka.brokers, "changing"), base);
    await log.connect();
    try {
      expect(log.problem).toBe("");
      for (const [settings, why] of [
        [{ "retention.bytes": "1048576" }, /retention\.bytes is 1048576, but must be -1/],
        [{ "retention.ms": "3600000" }, /retention\.ms is 3600000/],
        [{ "cleanup.policy": "compact" }, /cleanup\.policy is compact/],
      ] as const) {
        await alter(kafka.brokers, "changing", settings);
        await until("the change is seen", () => why.test(log.problem));
      }
      await alter(kafka.brokers, "changing", { "retention.ms": "172800000" });
      await until("it can be used again", () => log.problem === "");
      expect(log.retentionMs).toBe(172_800_000);
    } finally {
      await log.close();
    }
  }, 120_000);
});

describeWith(["kafka"], "a partition without a leader", () => {
  beforeAll(start, 60_000);

  it("does not prevent writes, reads and commits of other partitions, and its end is unknown", async () => {
    // The first broker, which stays, coordinates every group: the offsets topic is created before the second
    // broker joins.
    const first = new KafkaLog(configOf(kafka.brokers, "before-the-second"), base);
    await first.connect();
    expect(await first.committed(0, "first")).toBeUndefined();
    await first.close();
    const second = await kafka.addBroker(),
      topic = "led-by-two";
    // Only the first partition is on the broker that will be lost.
    await withAdmin(kafka.brokers, async (a) => {
      for (let brokers = 0; brokers < 2; brokers = (await a.describeCluster()).brokers.length)
        await sleep(200);
      await createTopic(a, {
        topic,
        replicaAssignment: [
          { partition: 0, replicas: [second.nodeId] },
          { partition: 1, replicas: [1] },
          { partition: 2, replicas: [1] },
        ],
        configEntries: SAFE,
      });
    });
    const log = new KafkaLog(configOf(kafka.brokers, topic), base);
    await log.connect();
    const readers = await Promise.all([0, 1, 2].map((p) => Seen.of(log, p, `g-${p}`)));
    try {
      for (const p of [0, 1, 2]) await log.produce(p, Buffer.from("before"), 15_000);
      for (const r of readers) await r.until(1);
      await second.kill();
      await until("the partition has no leader", async () => (await log.offsets()).ranges[0] === undefined);

      const lost = log.produce(0, Buffer.from("lost"), 8000).then(
        () => "taken",
        (err: unknown) => (err as Error).message,
      );
      // Repeated writes while the first one waits.
      for (let i = 0; i < 10; i++)
        for (const p of [1, 2]) expect(await log.produce(p, Buffer.from(`after${i}`), 2000)).toBe(i + 1);
      expect(await lost).toBe("Kafka did not acknowledge a record of partition 0 within 8000 ms");

      const offsets = await log.offsets();
      expect(offsets.ranges.slice(1)).toEqual([
        { start: 0, end: 11 },
        { start: 0, end: 11 },
      ]);
      expect(() => endOffsets(offsets)).toThrow("partition 0 of the log has no leader");
      for (const r of readers.slice(1)) expect(await r.until(11)).toHaveLength(11);
      for (const [i, r] of readers.entries()) if (i > 0) await r.reader.commit(11);
      expect(await log.committed(1, "g-1")).toBe(11);

      // The lost broker delays newcomers as little: a process that starts, and a reader that joins.
      const later = new KafkaLog(configOf(kafka.brokers, topic), base);
      await later.connect();
      expect(later.partitions).toBe(3);
      expect(await later.produce(1, Buffer.from("later"), 5000)).toBe(11);
      const joined = await Seen.of(later, 2, "joined");
      expect(await joined.until(11)).toHaveLength(11);
      await expect(Seen.of(later, 0, "none")).rejects.toThrow("partition 0 of the log has no leader");
      await joined.reader.stop();
      await later.close();
    } finally {
      await Promise.all(readers.map((r) => r.reader.stop()));
      await log.close();
    }
  }, 90_000);
});

describeWith(["kafka"], "a broker that answers nothing", () => {
  beforeAll(start, 60_000);

  it("ends every wait in time: offsets, commits, the start of a reader and its stop", async () => {
    const metrics = new Metrics(),
      silent = async (): Promise<number> =>
        Number(
          /^cinderblock_kafka_silent_seconds (.*)$/m.exec(
            await metrics.registry.getSingleMetricAsString("cinderblock_kafka_silent_seconds"),
          )![1],
        );
    const log = new KafkaLog(configOf(kafka.brokers, "silent"), { ...base, metrics });
    await log.connect();
    expect(await silent()).toBe(0);
    const seen = await Seen.of(log, 0, "g");
    try {
      await log.produce(0, Buffer.from("a"), 15_000);
      await seen.until(1);
      kafka.pause();
      await sleep(200); // the signal takes effect
      const begun = performance.now(),
        failed = (work: Promise<unknown>): Promise<string> =>
          work.then(
            () => "done",
            (err: unknown) => (err as Error).name,
          );
      expect(
        await Promise.all([
          failed(log.offsets()),
          failed(log.committed(0, "g")),
          failed(log.offsetAt(0, 0)),
          failed(seen.reader.commit(1)),
          failed(Seen.of(log, 1, "other")),
          failed(log.produce(0, Buffer.from("b"), 3000)),
        ]),
      ).toEqual(new Array(6).fill("CinderblockError"));
      expect(performance.now() - begun).toBeLessThan(45_000);
      await until("the silence is measured", async () => (await silent()) > 0);
      await failed(seen.reader.stop());
      expect(performance.now() - begun).toBeLessThan(90_000);
    } finally {
      kafka.resume();
      await until("Kafka answers again", () =>
        log.offsets().then(
          () => true,
          () => false,
        ),
      );
      await until("the silence is over", async () => (await silent()) === 0);
      await log.close();
    }
  }, 120_000);
});
