import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import {
  type BatchOutcome,
  type OutgoingBatch,
  type ProducerIdentity,
  type ProduceTransport,
  TopicProducer,
} from "./topic-producer.ts";

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

type Way = "answers" | "refuses" | "is silent" | "stores, and its answer is lost" | string;

/**
 * Brokers with the faults of real ones: they store each batch of a producer once, by its sequence numbers,
 * and refuse a batch that does not follow the last. Each partition may respond, refuse with a protocol error,
 * never respond, or lose its responses.
 */
class Brokers implements ProduceTransport {
  /** partition -> node; -1: no leader */
  leading: number[];
  /** partition -> behavior of its broker */
  way = new Map<number, Way>();
  stored = new Map<number, string[]>();
  requests: { node: number; partitions: number[] }[] = [];
  identities = 0;
  identityFails = false;
  private readonly sequences = new Map<string, { next: number; last: { first: number; offset: number } }>();

  constructor(leading: number[]) {
    this.leading = leading;
  }
  leaders(): Promise<number[]> {
    return Promise.resolve(this.leading);
  }
  newProducerIdentity(): Promise<ProducerIdentity> {
    if (this.identityFails) return Promise.reject(new Error("no producer id"));
    return Promise.resolve({ id: String(++this.identities), epoch: 0 });
  }
  send(
    node: number,
    identity: ProducerIdentity,
    batches: readonly OutgoingBatch[],
  ): Promise<Map<number, BatchOutcome>> {
    this.requests.push({ node, partitions: batches.map((b) => b.partition) });
    const outcomes = new Map<number, BatchOutcome>();
    let lost = false;
    for (const b of batches) {
      const way = this.way.get(b.partition) ?? "answers";
      if (this.leading[b.partition] !== node) outcomes.set(b.partition, refusal("NOT_LEADER_FOR_PARTITION"));
      else if (way === "is silent") return new Promise(() => undefined);
      else if (way === "answers") outcomes.set(b.partition, this.store(identity, b));
      else if (way.startsWith("stores")) {
        this.store(identity, b);
        lost = true;
      } else outcomes.set(b.partition, refusal(way));
    }
    return lost ? Promise.reject(new Error("connection closed")) : Promise.resolve(outcomes);
  }
  private store(identity: ProducerIdentity, b: OutgoingBatch): BatchOutcome {
    const key = `${b.partition}/${identity.id}`,
      known = this.sequences.get(key) ?? { next: 0, last: { first: -1, offset: 0 } };
    if (known.last.first === b.firstSequence) return { baseOffset: known.last.offset };
    if (known.next !== b.firstSequence) return refusal("OUT_OF_ORDER_SEQUENCE_NUMBER");
    const records = this.stored.get(b.partition) ?? [];
    this.stored.set(b.partition, records);
    const offset = records.length;
    records.push(...b.records.map((r) => Buffer.from(r.value).toString()));
    this.sequences.set(key, {
      next: b.firstSequence + b.records.length,
      last: { first: b.firstSequence, offset },
    });
    return { baseOffset: offset };
  }
}
const refusal = (type: string): BatchOutcome => ({ error: { type, message: type } });

function producer(brokers: Brokers, metrics = new Metrics()): TopicProducer {
  return new TopicProducer({ maxBatchBytes: 1000, lingerMs: 0 }, brokers, {
    log: createLogger({ level: "silent", format: "json" }),
    metrics,
    tracer: noTracer,
    now: () => Date.now(),
  });
}
/** A write and its outcome. */
interface Write {
  text: string;
  outcome: number | string | undefined;
}
function write(p: TopicProducer, partition: number, text: string, timeoutMs = 5000): Write {
  const w: Write = { text, outcome: undefined };
  p.produce(partition, Buffer.from(text), timeoutMs).then(
    (offset) => {
      w.outcome = offset;
    },
    (err: unknown) => {
      w.outcome = (err as Error).message;
    },
  );
  return w;
}
const pass = (ms: number): Promise<void> => jest.advanceTimersByTimeAsync(ms);

describe("a producer", () => {
  it("writes records of a partition in order, one batch at a time, and returns their offsets", async () => {
    const brokers = new Brokers([1, 1, 2]),
      p = producer(brokers);
    const writes = Array.from({ length: 30 }, (_, i) => write(p, i % 3, `r${i}`));
    await pass(50);
    expect(writes.map((w) => w.outcome)).toEqual(Array.from({ length: 30 }, (_, i) => Math.floor(i / 3)));
    expect(brokers.stored.get(0)).toEqual(Array.from({ length: 10 }, (_, i) => `r${3 * i}`));
    // One request per broker, whatever the number of its partitions.
    expect(brokers.requests).toEqual([
      { node: 1, partitions: [0, 1] },
      { node: 2, partitions: [2] },
    ]);
  });

  it("limits batches to the topic's maximum", async () => {
    const brokers = new Brokers([1]),
      p = producer(brokers);
    const writes = Array.from({ length: 10 }, (_, i) => write(p, 0, String(i).padStart(400, "x")));
    await pass(100);
    expect(writes.map((w) => w.outcome)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(brokers.requests).toHaveLength(5);
  });

  it("counts the bytes of headers, and sends none for records without", async () => {
    const brokers = new Brokers([1]),
      p = producer(brokers),
      sent: (readonly { headers: unknown }[])[] = [],
      send = brokers.send.bind(brokers);
    brokers.send = (node, identity, batches) => {
      sent.push(...batches.map((b) => b.records));
      return send(node, identity, batches);
    };
    const headers = { traceparent: "x".repeat(300) };
    const offsets = Promise.all(
      [headers, headers, undefined, headers].map((h) => p.produce(0, Buffer.alloc(200), 5000, h)),
    );
    await pass(100);
    expect(await offsets).toEqual([0, 1, 2, 3]);
    // 1,000 bytes have room for one record of 500 bytes and one of 200.
    expect(sent.map((records) => records.map((r) => r.headers))).toEqual([
      [headers],
      [headers, undefined],
      [headers],
    ]);
  });

  it("measures acknowledged records, and shows how many wait", async () => {
    const metrics = new Metrics(),
      p = producer(new Brokers([1, -1]), metrics);
    const value = async (name: string): Promise<number> =>
      Number(new RegExp(`^${name} (.*)$`, "m").exec(await metrics.registry.metrics())![1]);
    const writes = [write(p, 0, "a"), write(p, 1, "b"), write(p, 1, "c", 60_000)];
    await pass(300);
    expect(await value("cinderblock_kafka_produce_queued_records")).toBe(2);
    await pass(5000);
    expect(writes[1]!.outcome).toContain("did not acknowledge");
    expect(await value("cinderblock_kafka_produce_queued_records")).toBe(1);
    expect(await value("cinderblock_kafka_produce_duration_seconds_count")).toBe(1);
    expect(await value("cinderblock_kafka_produce_duration_seconds_sum")).toBeLessThan(0.1);
    p.close();
  });

  it("writes all other partitions while one has no leader, and that one later", async () => {
    const brokers = new Brokers([-1, 1, 2]),
      p = producer(brokers);
    for (let i = 0; i < 20; i++) {
      const writes = [0, 1, 2].map((n) => write(p, n, `${i}`, 2000));
      await pass(300);
      expect(writes.slice(1).map((w) => w.outcome)).toEqual([i, i]);
      expect(writes[0]!.outcome).toBeUndefined();
    }
    await pass(2000);
    expect(brokers.stored.get(0)).toBeUndefined();
    const late = write(p, 0, "late");
    await pass(300);
    brokers.leading[0] = 1;
    await pass(1000);
    expect(late.outcome).toBe(0);
    // Records that expired were never sent: later records get their sequence numbers.
    expect([brokers.stored.get(0), brokers.identities]).toEqual([["late"], 1]);
  });

  it.each(["NOT_ENOUGH_REPLICAS", "KAFKA_STORAGE_ERROR", "TOPIC_AUTHORIZATION_FAILED", "MESSAGE_TOO_LARGE"])(
    "writes all other partitions of a broker while it refuses one with %s",
    async (type) => {
      const brokers = new Brokers([1, 1, 1]),
        metrics = new Metrics(),
        p = producer(brokers, metrics);
      brokers.way.set(0, type);
      for (let i = 0; i < 10; i++) {
        const writes = [0, 1, 2].map((n) => write(p, n, `${i}`, 1500));
        await pass(200);
        expect(writes.slice(1).map((w) => w.outcome)).toEqual([i, i]);
      }
      await pass(2000);
      expect(await metrics.registry.metrics()).toMatch(/produce_failures_total\{partition="0"\} [1-9]/);
      brokers.way.delete(0);
      const after = write(p, 0, "after");
      await pass(3000);
      expect(after.outcome).toBe(0);
      expect(brokers.stored.get(0)).toEqual(["after"]);
    },
  );

  it("waits only for the silent broker", async () => {
    const brokers = new Brokers([1, 2]),
      p = producer(brokers);
    brokers.way.set(0, "is silent");
    const stuck = write(p, 0, "stuck", 3000);
    await pass(100);
    for (let i = 0; i < 10; i++) {
      const w = write(p, 1, `${i}`);
      await pass(100);
      expect(w.outcome).toBe(i);
    }
    await pass(3000);
    expect(stuck.outcome).toBe("Kafka did not acknowledge a record of partition 0 within 3000 ms");
    // Whether the broker stored the batch is unknown: the next record must not be mistaken for it.
    brokers.way.delete(0);
    const next = write(p, 0, "next", 60_000);
    await pass(30_000);
    expect([next.outcome, brokers.stored.get(0), brokers.identities]).toEqual([0, ["next"], 2]);
  });

  it("resends a batch with a lost response, and it is stored once", async () => {
    const brokers = new Brokers([1]),
      p = producer(brokers);
    brokers.way.set(0, "stores, and its answer is lost");
    const w = write(p, 0, "once", 10_000);
    await pass(500);
    expect([w.outcome, brokers.stored.get(0)]).toEqual([undefined, ["once"]]);
    brokers.way.delete(0);
    await pass(2000);
    const next = write(p, 0, "next");
    await pass(200);
    expect([w.outcome, next.outcome, brokers.stored.get(0)]).toEqual([0, 1, ["once", "next"]]);
  });

  it("never loses a record to an expired record, which may be stored", async () => {
    const brokers = new Brokers([1, 1]),
      p = producer(brokers);
    brokers.way.set(0, "stores, and its answer is lost");
    const lost = write(p, 0, "lost", 300);
    await pass(1000);
    expect(lost.outcome).toMatch(/did not acknowledge a record/);
    brokers.way.delete(0);
    const writes = ["a", "b", "c"].map((t) => write(p, 0, t));
    await pass(3000);
    expect(writes.map((w) => w.outcome)).toEqual([1, 2, 3]);
    expect(brokers.stored.get(0)).toEqual(["lost", "a", "b", "c"]);
    // The other partition keeps its sequence numbers.
    const other = write(p, 1, "other");
    await pass(200);
    expect(other.outcome).toBe(0);
  });

  it("restarts with a new identity if the broker lost its last batch", async () => {
    const brokers = new Brokers([1]),
      p = producer(brokers);
    write(p, 0, "a");
    await pass(100);
    brokers.way.set(0, "UNKNOWN_PRODUCER_ID");
    const w = write(p, 0, "b");
    await pass(50);
    brokers.way.delete(0);
    await pass(3000);
    expect([w.outcome, brokers.stored.get(0), brokers.identities]).toEqual([1, ["a", "b"], 2]);
  });

  it("follows a partition to its next leader", async () => {
    const brokers = new Brokers([1]),
      p = producer(brokers);
    write(p, 0, "a");
    await pass(100);
    brokers.leading[0] = 2;
    const w = write(p, 0, "b");
    await pass(1000);
    expect([w.outcome, brokers.requests.at(-1)]).toEqual([1, { node: 2, partitions: [0] }]);
  });

  it("ends every wait when it closes", async () => {
    const brokers = new Brokers([1, -1]),
      p = producer(brokers);
    brokers.way.set(0, "is silent");
    const writes = [write(p, 0, "a"), write(p, 1, "b")];
    await pass(100);
    writes.push(write(p, 0, "c"));
    p.close();
    await pass(0);
    expect(writes.map((w) => w.outcome)).toEqual(new Array(3).fill("the process is shutting down"));
  });

  it("retries without an identity", async () => {
    const brokers = new Brokers([1]),
      p = producer(brokers);
    brokers.identityFails = true;
    const w = write(p, 0, "a", 10_000);
    await pass(1000);
    brokers.identityFails = false;
    await pass(3000);
    expect(w.outcome).toBe(0);
  });
});
