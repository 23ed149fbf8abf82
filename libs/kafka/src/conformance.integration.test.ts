import { sleep } from "@cinderblock/async";
import { describeWith, type KafkaServer, startKafka } from "@cinderblock/testkit";
import { type KafkaConfig, KafkaLog, offsetRange } from "./index.ts";
import { accidentsOf, configOf, createTopic, withAdmin } from "./kafka-topics.testing.ts";
import { base, behavesAsPartitionedLog, Seen } from "./partitioned-log.testing.ts";

let kafka: KafkaServer;
const start = async (): Promise<void> => {
  kafka ??= await startKafka();
};

const config = (topic: string, more: Partial<KafkaConfig> = {}): KafkaConfig =>
  configOf(kafka.brokers, topic, more);

describeWith(["kafka"], "a partitioned log in Kafka", () => {
  beforeAll(start, 60_000);
  behavesAsPartitionedLog(async () => {
    const log = new KafkaLog(config("pushes"), base);
    expect((await log.connect()).join()).toContain("1 broker");
    expect(log.topicId).toMatch(/^[-_\w]{22}$/);
    return { log, accidents: accidentsOf(kafka.brokers, "pushes") };
  });
});

describeWith(["kafka"], "Kafka", () => {
  beforeAll(start, 60_000);

  it("carries a record of the largest size", async () => {
    const log = new KafkaLog(config("large"), base);
    await log.connect();
    await log.produce(0, new Uint8Array(2 << 20).fill(7), 10_000);
    const seen = await Seen.of(log, 0, "g");
    await seen.until(1);
    expect(seen.records[0]!.value.length).toBe(2 << 20);
    await seen.reader.stop();
    await log.close();
  }, 30_000);

  it("refuses topics that would lose records, with a reason", async () => {
    await withAdmin(kafka.brokers, async (admin) => {
      const make = (topic: string, ...configEntries: { name: string; value: string }[]) =>
        createTopic(admin, { topic, numPartitions: 1, replicationFactor: 1, configEntries });
      await make("compacted", { name: "cleanup.policy", value: "compact" });
      await make("short", { name: "retention.ms", value: "3600000" });
      await make("bytes", { name: "retention.bytes", value: "1048576" });
      await make("small", { name: "max.message.bytes", value: "1000" });
      await make(
        "unclean",
        { name: "max.message.bytes", value: "9000000" },
        { name: "unclean.leader.election.enable", value: "true" },
      );
    });
    for (const [topic, why] of [
      ["compacted", /cleanup\.policy is compact/],
      ["short", /retention\.ms is 3600000, but must be at least 86400000/],
      ["bytes", /retention\.bytes is 1048576, but must be -1, .*--add-config retention\.bytes=-1/],
      ["small", /max\.message\.bytes is 1000/],
      ["unclean", /unclean\.leader/],
    ] as const) {
      const log = new KafkaLog(config(topic), base);
      await expect(log.connect()).rejects.toThrow(why);
      await log.close();
    }
    const absent = new KafkaLog(config("absent", { createPartitions: 0 }), base);
    await expect(absent.connect()).rejects.toThrow(/no topic absent/);
    await absent.close();
  }, 60_000);

  it("records that arrive during an offset request do not count as another topic", async () => {
    /** Responds late: its offsets are older than the records read in the meantime. */
    class LateLog extends KafkaLog {
      override async offsets(partition?: number) {
        const all = await super.offsets(partition);
        await sleep(2000);
        return all;
      }
    }
    const log = new LateLog(config("late"), base);
    await log.connect();
    const seen = await Seen.of(log, 0, "g");
    try {
      for (const text of ["a", "b", "c"]) await log.produce(0, Buffer.from(text), 10_000);
      for (let i = 0; i < 100 && seen.texts().length < 3; i++) await sleep(100);
      // time for the delayed answer from when the group formed, and for one round of reading
      await sleep(4000);
      expect([seen.texts(), seen.gaps]).toEqual([["a", "b", "c"], []]);
    } finally {
      await seen.reader.stop();
      await log.close();
    }
  }, 60_000);

  it("reports an outage within the timeout, and recovers: no record is lost or duplicated", async () => {
    const log = new KafkaLog(config("away"), base);
    await log.connect();
    const seen = await Seen.of(log, 0, "g");
    try {
      await log.produce(0, Buffer.from("before"), 10_000);
      await kafka.kill();
      const begun = Date.now();
      await expect(log.produce(0, Buffer.from("during"), 1500)).rejects.toThrow(
        /Kafka did not acknowledge a record/,
      );
      expect(Date.now() - begun).toBeLessThan(4000);
      await kafka.start();
      const acknowledged: string[] = [];
      for (let i = 0; acknowledged.length < 3 && i < 40; i++) {
        try {
          await log.produce(0, Buffer.from(`after${i}`), 3000);
          acknowledged.push(`after${i}`);
        } catch {
          await sleep(500);
        }
      }
      expect(acknowledged.length).toBe(3);
      for (let i = 0; i < 200 && !acknowledged.every((a) => seen.texts().includes(a)); i++) await sleep(100);
      expect(seen.texts()).toEqual(expect.arrayContaining(["before", ...acknowledged]));
      expect(new Set(seen.texts()).size).toBe(seen.texts().length);
    } finally {
      // Stop also when an expectation fails: a running reader keeps the test run from ending.
      await seen.reader.stop();
      await log.close();
    }
  }, 120_000);

  it("keeps acknowledged records, also after a lost response", async () => {
    const direct = new KafkaLog(config("answers"), base),
      log = new KafkaLog(config("answers", { brokers: [kafka.wire.brokers] }), base);
    await direct.connect();
    await log.connect();
    const seen = await Seen.of(direct, 0, "g");
    try {
      await log.produce(0, Buffer.from("first"), 10_000);
      kafka.wire.loseAnswers();
      const outcome = log.produce(0, Buffer.from("second"), 60_000).then(
        () => "taken",
        () => "refused",
      );
      for (let i = 0; i < 100 && offsetRange(await direct.offsets(), 0).end < 2; i++) await sleep(50);
      kafka.wire.cut();
      // Longer than kafkajs retries the brokers, so kafkajs gives up on the record.
      expect(await outcome).toBe("refused");
      kafka.wire.mend();
      const acknowledged: string[] = [];
      for (let i = 0; acknowledged.length < 3 && i < 40; i++) {
        try {
          await log.produce(0, Buffer.from(`after${i}`), 5000);
          acknowledged.push(`after${i}`);
        } catch {
          await sleep(500);
        }
      }
      expect(acknowledged.length).toBe(3);
      expect(await seen.until(5)).toEqual(["first", "second", ...acknowledged]);
    } finally {
      kafka.wire.mend();
      await seen.reader.stop();
      await log.close();
      await direct.close();
    }
  }, 120_000);

  it("a broker silent for longer than the request timeout: acknowledged records exist once, in order, and are read", async () => {
    const log = new KafkaLog(config("late"), base);
    await log.connect();
    const seen = await Seen.of(log, 0, "g"),
      acknowledged: string[] = [],
      refused: string[] = [];
    let pushing = true;
    try {
      // Writers that push without pause, as distributors do.
      const writers = Array.from({ length: 4 }, async (_, k) => {
        for (let i = 0; pushing; i++) {
          const text = `${k}-${i}`;
          try {
            await log.produce(0, Buffer.from(text), 3000);
            acknowledged.push(text);
          } catch {
            refused.push(text);
          }
          await sleep(20);
        }
      });
      await sleep(500);
      const before = acknowledged.length;
      kafka.pause();
      // kafkajs gives a request 20 seconds; the group gives a reader ten.
      await sleep(25_000);
      kafka.resume();
      for (let i = 0; i < 300 && acknowledged.length < before + 50; i++) await sleep(100);
      pushing = false;
      await Promise.all(writers);
      expect(acknowledged.length).toBeGreaterThanOrEqual(before + 50);
      expect(refused.length).toBeGreaterThan(4);
      for (let i = 0; i < 300 && !acknowledged.every((a) => seen.texts().includes(a)); i++) await sleep(100);
      const texts = seen.texts(),
        found = new Set(texts);
      expect(acknowledged.filter((a) => !found.has(a))).toEqual([]);
      expect(found.size).toBe(texts.length);
      for (let k = 0; k < 4; k++) {
        const own = texts.filter((t) => t.startsWith(`${k}-`)).map((t) => Number(t.slice(2)));
        expect(own).toEqual([...own].sort((a, b) => a - b));
      }
      expect(seen.gaps).toEqual([]);
    } finally {
      kafka.resume();
      pushing = false;
      await seen.reader.stop();
      await log.close();
    }
  }, 150_000);

  it("a reader stopped during a Kafka outage does not return with it", async () => {
    const log = new KafkaLog(config("stopped"), base);
    await log.connect();
    const group = (i: number): string => `stopped-${i}`;
    // Stop at different moments of the consumer restart: while waiting, while connecting.
    const left = await Promise.all([0, 1, 2, 3, 4, 5].map((i) => Seen.of(log, 0, group(i))));
    const live: Seen[] = [];
    try {
      await kafka.kill();
      await sleep(1500);
      await Promise.all(
        [
          left.map(async (seen, i) => {
            await sleep(i * 300);
            await seen.reader.stop();
          }),
          sleep(1200).then(() => kafka.start()),
        ].flat(),
      );
      for (let i = 0, taken = false; !taken && i < 40; i++) {
        try {
          await log.produce(0, Buffer.from("after"), 3000);
          taken = true;
        } catch {
          await sleep(500);
        }
      }
      await sleep(3000);
      expect(left.flatMap((seen) => seen.texts())).toEqual([]);
      for (const [i] of left.entries()) live.push(await Seen.of(log, 0, group(i)));
      for (const seen of live) expect(await seen.until(1)).toContain("after");
    } finally {
      await Promise.all(live.map((seen) => seen.reader.stop()));
      await log.close();
    }
  }, 120_000);
});

describeWith(["kafka"], "a record on its way to Kafka", () => {
  beforeAll(start, 60_000);

  it("batches records into one request, in order", async () => {
    const log = new KafkaLog(config("linger", { createPartitions: 1, lingerMs: 300 }), base);
    await log.connect();
    await log.produce(0, Buffer.from("first"), 10_000); // the first record opens the connection
    const offsets: Promise<number>[] = [];
    for (let i = 0; i < 5; i++) {
      offsets.push(log.produce(0, Buffer.from(`r${i}`), 10_000));
      await sleep(10);
    }
    expect(await Promise.all(offsets)).toEqual([1, 2, 3, 4, 5]);
    const seen = await Seen.of(log, 0, "linger");
    await seen.until(6);
    // The broker stamps all records of one request with the same time.
    expect(new Set(seen.records.slice(1).map((r) => r.timestampMs)).size).toBe(1);
    expect(seen.texts()).toEqual(["first", "r0", "r1", "r2", "r3", "r4"]);
    await seen.reader.stop();
    await log.close();
  }, 30_000);
});
