import { kindOf } from "@cinderblock/errors";
import type { PartitionedLog } from "@cinderblock/kafka";
import type { InternalClient } from "@cinderblock/rpc";
import type { RingView } from "@cinderblock/ring";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { PartitionWatch } from "./partition-watch.ts";

interface Topic {
  retentionMs: number;
  partitions: number;
  topicId: string;
  problem: string;
}
const topicOf = (more: Partial<Topic> = {}): Topic => ({
  retentionMs: 10_000,
  partitions: 1,
  topicId: "",
  problem: "",
  ...more,
});

function watch(
  now: () => number,
  answers: Record<string, (method: string) => unknown>,
  topic = topicOf(),
  metrics = new Metrics(),
): PartitionWatch {
  const log = topic as unknown as PartitionedLog;
  const ring = {
    get snapshot() {
      return { readable: Object.keys(answers).map((id) => ({ id, address: id })) };
    },
  } as unknown as RingView;
  const client = {
    of(_service: unknown, address: string) {
      const ask = <T>(method: string): Promise<T[]> =>
        Promise.resolve().then(() => answers[address]!(method) as T[]);
      return {
        listPartitions: async () => ({ partitions: await ask("partitions") }),
        listActiveSeries: async () => ({
          tenants: (await ask<{ tenant: string; series: BigUint64Array }>("activeSeries")).map((t) => ({
            tenant: t.tenant,
            fingerprints: new Uint8Array(t.series.buffer),
          })),
        }),
      };
    },
  } as unknown as InternalClient;
  return new PartitionWatch(log, ring, client, {
    log: createLogger({ level: "fatal", format: "json" }),
    metrics,
    tracer: startTracing("", "0"),
    now,
  });
}
const state = (owner: string, unuploadedAgeMs: number) => ({ partition: 0, owner, unuploadedAgeMs });
/** An owner's report on partitions of a topic; `of` partitions are divided in its zone. */
const tells = (owner: string, of: number, partitions: readonly number[], more: object = {}) =>
  partitions.map((partition) => ({
    partition,
    owner,
    of,
    topicId: "t",
    position: 0,
    committed: 0,
    start: 0,
    end: 0,
    unuploadedAgeMs: 0,
    lagMs: 0,
    ...more,
  }));
const poll = async (w: PartitionWatch): Promise<void> => {
  await w.start();
  await w.stop();
};
const refusal = (admit: () => void): string => {
  try {
    admit();
    return "";
  } catch (err) {
    return `${kindOf(err)}: ${(err as Error).message}`;
  }
};

describe("a distributor's view of the partitions", () => {
  it("counts active series of all ingesters and their threads", async () => {
    const many = (from: number) => BigUint64Array.from({ length: 150_000 }, (_, i) => BigInt(from + i));
    const w = watch(() => 0, {
      a: (method) =>
        method === "partitions"
          ? [state("a", 0)]
          : [
              { tenant: "t", series: many(0) },
              { tenant: "u", series: many(0) },
              { tenant: "t", series: many(100_000) },
            ],
      b: (method) =>
        method === "partitions" ? [] : [{ tenant: "t", series: BigUint64Array.of(5n, 1_000_000n) }],
    });
    expect(w.seriesOf("t")).toBeUndefined();
    await w.start();
    await w.stop();
    expect([w.seriesOf("t")!.size, w.seriesOf("u")!.size, w.seriesOf("other")!.size]).toEqual([
      250_001, 150_000, 0,
    ]);
  });

  it("refuses writes before any report, and while all owners of a partition lag or are silent for half of the retention", async () => {
    let now = 0;
    const ages = { a: 100, b: 6000 };
    const w = watch(() => now, {
      a: (method) => (method === "partitions" ? [state("a", ages.a)] : []),
      b: (method) => (method === "partitions" ? [state("b", ages.b)] : []),
    });
    expect(() => {
      w.refuse();
    }).toThrow("no ingester has reported its partitions yet");
    await w.start();
    await w.stop();
    w.refuse(); // one owner is ahead
    ages.a = 5500;
    await w.start();
    await w.stop();
    expect(() => {
      w.refuse();
    }).toThrow(
      "records of partition 0 have waited 6 s for their upload to the bucket; the limit is 5 s, half of the topic's retention",
    );
    ages.a = 100;
    await w.start();
    await w.stop();
    now = 600_000;
    expect(() => {
      w.refuse();
    }).toThrow("records of partition 0 have waited 600 s for their upload");
  });

  it("places writes in the partitions that owners read, not in all partitions of the topic", async () => {
    let now = 0,
      told: object[] = tells("a", 2, [0, 1]);
    const topic = topicOf({ partitions: 8, topicId: "t" }),
      metrics = new Metrics(),
      w = watch(() => now, { a: (m) => (m === "partitions" ? told : []) }, topic, metrics);
    expect(w.partitions).toBe(0);
    await poll(w);
    expect(w.partitions).toBe(2);
    expect(await metrics.registry.metrics()).toMatch(/^cinderblock_distributor_unread_partitions 6$/m);
    // The owners know that the topic grew, and claim the new partitions one by one.
    told = tells("a", 8, [0, 1, 2, 5, 7]);
    now += 2000;
    await poll(w);
    expect(w.partitions).toBe(2);
    told = tells("a", 8, [0, 1, 2, 3, 4, 5, 6, 7]);
    now += 2000;
    await poll(w);
    expect(w.partitions).toBe(8);
    // The placement does not shrink when an owner stops responding.
    told = [];
    now += 2000;
    await poll(w);
    expect(w.partitions).toBe(8);
  });

  it("uses the number of partitions of the owner that knows the fewest", async () => {
    const w = watch(
      () => 0,
      {
        a: (m) => (m === "partitions" ? tells("a", 8, [0, 1, 2, 3, 4, 5, 6, 7]) : []),
        b: (m) => (m === "partitions" ? tells("b", 2, [0, 1]) : []),
      },
      topicOf({ partitions: 8, topicId: "t" }),
    );
    await poll(w);
    expect(w.partitions).toBe(2);
  });

  it("knows the number of partitions that each partition has the fence of", async () => {
    const told: object[] = [],
      topic = topicOf({ partitions: 3, topicId: "t" }),
      w = watch(() => 1_000_000, { a: (method) => (method === "partitions" ? told : []) }, topic);
    told.push(...tells("a", 3, [0, 1, 2]));
    await poll(w);
    expect(w.fencedPartitionCount()).toBe(0);
    // Another zone's owner may be ahead; a partition without a record names none.
    told.push(...tells("b", 3, [0], { settled: 3 }), ...tells("a", 3, [0, 1], { settled: 2 }));
    await poll(w);
    expect(w.fencedPartitionCount()).toBe(2);
    told.push(...tells("b", 3, [1], { settled: 3 }));
    await poll(w);
    expect(w.fencedPartitionCount()).toBe(3);
    topic.topicId = "another";
    await poll(w);
    expect(w.fencedPartitionCount()).toBe(0);
  });
  it("refuses writes to a partition without a timely claim, and to no other partition", async () => {
    let now = 0;
    const w = watch(
      () => now,
      { a: (m) => (m === "partitions" ? tells("a", 3, [1, 2]) : []) },
      topicOf({ partitions: 3, topicId: "t" }),
    );
    await poll(w);
    expect(refusal(() => w.refuse())).toMatch(/^unavailable: no ingester has reported its partitions yet/);
    now = 15_000;
    await poll(w);
    expect(w.partitions).toBe(3);
    expect(refusal(() => w.refuse())).toBe("");
    expect([0, 1, 2].map((p) => refusal(() => w.admit(p)))).toEqual([
      "unavailable: partition 0 has had no reader: queries would not see the push",
      "",
      "",
    ]);
  });

  it("refuses writes to a partition whose owner stopped reporting while others report", async () => {
    let now = 0,
      b = tells("b", 2, [1]);
    const w = watch(
      () => now,
      {
        a: (m) => (m === "partitions" ? tells("a", 2, [0]) : []),
        b: (m) => (m === "partitions" ? b : []),
      },
      topicOf({ partitions: 2, topicId: "t", retentionMs: 86_400_000 }),
    );
    await poll(w);
    b = [];
    now = 100_000; // others take the partition over in between
    await poll(w);
    expect([0, 1].map((p) => refusal(() => w.admit(p)))).toEqual(["", ""]);
    now = 130_000;
    await poll(w);
    expect([0, 1].map((p) => refusal(() => w.admit(p)))).toEqual([
      "",
      "unavailable: partition 1 has had no reader for 130 s: queries would not see the push",
    ]);
    b = tells("b", 2, [1]);
    await poll(w);
    expect(refusal(() => w.admit(1))).toBe("");
  });

  it("accepts writes while all ingesters are briefly unreachable, and refuses them without any ingester in the ring", async () => {
    let now = 0;
    const answers: Record<string, (method: string) => unknown> = {
      a: (m) => {
        if (now > 0) throw new Error("it is away");
        return m === "partitions" ? tells("a", 1, [0]) : [];
      },
    };
    const w = watch(() => now, answers, topicOf({ topicId: "t", retentionMs: 86_400_000 }));
    await poll(w);
    now = 600_000;
    await poll(w);
    expect(refusal(() => w.admit(0))).toBe("");
    delete answers.a;
    now = 601_000;
    await poll(w);
    expect(refusal(() => w.admit(0))).toMatch(/^unavailable: partition 0 has had no reader for 601 s/);
  });

  it("counts a recreated topic as waiting while its owner reads the old topic", async () => {
    let now = 0;
    const topic = topicOf({ topicId: "t", retentionMs: 100_000 }),
      w = watch(() => now, { a: (m) => (m === "partitions" ? tells("a", 1, [0]) : []) }, topic);
    await poll(w);
    topic.topicId = "t2";
    now = 1000;
    await poll(w);
    expect(refusal(() => w.admit(0))).toBe("");
    now = 52_000;
    await poll(w);
    expect(refusal(() => w.admit(0))).toMatch(
      /^limit: records of partition 0 have waited 51 s for their upload/,
    );
  });

  it("refuses writes while the topic drops records that are not in the bucket", async () => {
    let told = tells("a", 1, [0], { committed: 10, start: 11, position: 20, end: 30 });
    const w = watch(() => 0, { a: (m) => (m === "partitions" ? told : []) }, topicOf({ topicId: "t" }));
    await poll(w);
    expect(refusal(() => w.refuse())).toBe(
      "limit: the topic's retention drops records of partition 0 before their upload: the partition starts at offset 11, and only offsets below 10 are uploaded",
    );
    told = tells("a", 1, [0], { committed: 11, start: 11, position: 20, end: 30 });
    await poll(w);
    expect(refusal(() => w.refuse())).toBe("");
  });

  it("refuses writes while the topic's settings would lose them", async () => {
    const topic = topicOf({ problem: "topic pushes is not usable: retention.bytes is 1" }),
      w = watch(() => 0, { a: (m) => (m === "partitions" ? [state("a", 0)] : []) }, topic);
    await poll(w);
    expect(refusal(() => w.refuse())).toBe(
      "unavailable: writes to Kafka are stopped: topic pushes is not usable: retention.bytes is 1",
    );
    topic.problem = "";
    expect(refusal(() => w.refuse())).toBe("");
  });
});
