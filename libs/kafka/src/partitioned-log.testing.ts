import { sleep } from "@cinderblock/async";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import {
  endOffsets,
  type LogRecord,
  type PartitionedLog,
  type PartitionReader,
  offsetRange,
} from "./index.ts";

export const base = {
  log: createLogger({ level: "error", format: "json" }),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
};

/** Records the events of one reader. */
export class Seen {
  records: LogRecord[] = [];
  gaps: [number, number][] = [];
  /** reasons why the reader ended by itself */
  ends: unknown[] = [];
  reader!: PartitionReader;
  static async of(
    log: PartitionedLog,
    partition: number,
    group: string,
    from?: number,
    hold: () => Promise<void> = () => Promise.resolve(),
    again = false,
  ): Promise<Seen> {
    const seen = new Seen();
    seen.reader = await log.read(partition, {
      group,
      topicId: log.topicId,
      from,
      again,
      onRecords: async (r) => {
        await hold();
        seen.records.push(...r);
      },
      onGap: (wanted, start) => {
        seen.gaps.push([wanted, start]);
      },
      onEnd: (reason) => {
        seen.ends.push(reason);
      },
    });
    return seen;
  }
  async until(n: number): Promise<string[]> {
    for (let i = 0; i < 300 && this.records.length < n; i++) await sleep(50);
    return this.texts();
  }
  texts(): string[] {
    return this.records.map((r) => Buffer.from(r.value).toString());
  }
}

/** Administrative operations and faults of a topic. */
export interface TopicAccidents {
  /** adds partitions until the topic has `count` */
  addPartitions(count: number): Promise<void>;
  /** deletes the topic and creates it again */
  recreate(partitions: number): Promise<void>;
  /** drops the records of a partition before an offset */
  expire(partition: number, before: number): Promise<void>;
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 600 && !holds(); i++) await sleep(50);
  expect(holds()).toBe(true);
}

/**
 * Conformance suite of a partitioned log, run for Kafka and for its in-memory twin. The topic has three
 * partitions.
 */
export function behavesAsPartitionedLog(
  open: () => Promise<{ log: PartitionedLog; accidents: TopicAccidents }>,
): void {
  let log: PartitionedLog, accidents: TopicAccidents;
  const bytes = (text: string): Uint8Array => Buffer.from(text);
  beforeAll(async () => {
    ({ log, accidents } = await open());
  }, 30_000);
  afterAll(() => log.close());

  it("keeps records of each partition in order, with their offsets and its end", async () => {
    expect(log.partitions).toBe(3);
    const offsets = await Promise.all(
      Array.from({ length: 50 }, (_, i) => log.produce(i % 2, bytes(`r${i}`), 10_000)),
    );
    expect(offsets.filter((_, i) => i % 2 === 0)).toEqual(Array.from({ length: 25 }, (_, i) => i));
    expect(endOffsets(await log.offsets())).toEqual([25, 25, 0]);
    expect((await log.offsets()).topicId).toBe(log.topicId);
    const seen = await Seen.of(log, 0, "order");
    expect(await seen.until(25)).toEqual(Array.from({ length: 25 }, (_, i) => `r${2 * i}`));
    expect(seen.records.map((r) => r.offset)).toEqual(Array.from({ length: 25 }, (_, i) => i));
    expect(Math.abs(seen.records[0]!.timestampMs - Date.now())).toBeLessThan(60_000);
    await log.produce(0, bytes("later"), 10_000);
    expect((await seen.until(26)).at(-1)).toBe("later");
    await seen.reader.stop();
  }, 30_000);

  it("finds a record by time, and rereads committed records on request", async () => {
    await log.produce(2, bytes("old"), 10_000);
    await sleep(50);
    const between = Date.now();
    await sleep(50);
    for (const t of ["a", "b"]) await log.produce(2, bytes(t), 10_000);
    const { end } = offsetRange(await log.offsets(2), 2);
    expect([
      await log.offsetAt(2, 0),
      await log.offsetAt(2, between),
      await log.offsetAt(2, Date.now() + 60_000),
    ]).toEqual([end - 3, end - 2, end]);
    const first = await Seen.of(log, 2, "again");
    await first.until(3);
    await first.reader.commit(end);
    await first.reader.stop();
    const again = await Seen.of(log, 2, "again", end - 2, undefined, true);
    expect(await again.until(2)).toEqual(["a", "b"]);
    await again.reader.stop();
  }, 30_000);

  it("rereads also when newer records follow the committed offset", async () => {
    for (let round = 0; round < 5; round++) {
      const group = `again-${round}`,
        start = offsetRange(await log.offsets(2), 2).end;
      for (const t of ["a", "b", "c", "d"]) await log.produce(2, bytes(t), 10_000);
      const first = await Seen.of(log, 2, group, start);
      await first.until(4);
      await first.reader.commit(start + 2);
      await first.reader.stop();
      const again = await Seen.of(log, 2, group, start, undefined, true);
      expect(await again.until(4)).toEqual(["a", "b", "c", "d"]);
      expect(again.gaps).toEqual([]);
      await again.reader.stop();
    }
  }, 60_000);

  it("starts at the group's commit, or at a later requested offset", async () => {
    expect(await log.committed(1, "resume")).toBeUndefined();
    const first = await Seen.of(log, 1, "resume");
    await first.until(25);
    await first.reader.commit(10);
    await first.reader.stop();
    expect(await log.committed(1, "resume")).toBe(10);
    const second = await Seen.of(log, 1, "resume", 5);
    expect((await second.until(15))[0]).toBe("r21");
    await second.reader.stop();
    const third = await Seen.of(log, 1, "resume", 20);
    expect(await third.until(5)).toEqual(["r41", "r43", "r45", "r47", "r49"]);
    await third.reader.stop();
  }, 60_000);

  it("starts at the beginning if the requested offset is beyond the end, and reports the gap", async () => {
    const seen = await Seen.of(log, 1, "beyond", 5000);
    expect((await seen.until(25))[0]).toBe("r1");
    expect(seen.gaps).toEqual([[5000, 0]]);
    await seen.reader.stop();
  }, 30_000);

  it("lets one reader of a group read; another continues at the commit when it stops", async () => {
    for (let i = 0; i < 5; i++) await log.produce(2, bytes(`t${i}`), 10_000);
    const one = await Seen.of(log, 2, "turns");
    await one.until(5);
    const two = await Seen.of(log, 2, "turns");
    await one.reader.commit(3);
    await one.reader.stop();
    const got = await two.until(2);
    expect(got.slice(-2)).toEqual(["t3", "t4"]);
    await two.reader.stop();
  }, 60_000);

  it("delivers the next records after the in-flight ones complete", async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((done) => {
      release = done;
    });
    const seen = await Seen.of(log, 0, "hold", undefined, () => gate);
    await sleep(1500);
    expect(seen.records).toEqual([]);
    release();
    await seen.until(26);
    expect(seen.records.length).toBe(26);
    await seen.reader.stop();
  }, 30_000);

  it("counts records dropped before they were read, and continues after them", async () => {
    const { start, end } = offsetRange(await log.offsets(1), 1);
    await accidents.expire(1, end - 5);
    const seen = await Seen.of(log, 1, "dropped", start);
    expect(await seen.until(5)).toEqual(["r41", "r43", "r45", "r47", "r49"]);
    expect(seen.gaps).toEqual([[start, end - 5]]);
    expect(offsetRange(await log.offsets(1), 1)).toEqual({ start: end - 5, end });
    await seen.reader.stop();
  }, 60_000);

  it("gains partitions at run time, which are written, read and counted immediately", async () => {
    const before = log.topicId;
    await accidents.addPartitions(5);
    expect((await log.offsets()).ranges).toHaveLength(5);
    await until(() => log.partitions === 5);
    expect(log.topicId).toBe(before);
    expect(await log.produce(4, bytes("new"), 15_000)).toBe(0);
    const seen = await Seen.of(log, 4, "added");
    expect(await seen.until(1)).toEqual(["new"]);
    await seen.reader.commit(1);
    expect(await log.committed(4, "added")).toBe(1);
    await seen.reader.stop();
  }, 60_000);

  it("refuses a record for an unknown partition", async () => {
    await expect(log.produce(99, bytes("lost"), 500)).rejects.toThrow(/partition 99/);
  });

  it("has another ID when recreated: offsets and commits of the old topic are ignored", async () => {
    for (const t of ["a", "b", "c", "d"]) await log.produce(3, bytes(t), 10_000);
    const old = await Seen.of(log, 3, "recreated");
    await old.until(4);
    await old.reader.commit(2);
    const before = log.topicId;
    await accidents.recreate(4);
    await log.refresh();
    expect(log.topicId).not.toBe(before);
    expect(log.partitions).toBe(4);
    expect(await log.committed(3, "recreated")).toBeUndefined();
    expect(await log.offsets()).toMatchObject({
      topicId: log.topicId,
      ranges: [0, 0, 0, 0].map((end) => ({ end })),
    });
    // The reader ends because its offset is past the end, or continues at its offset. Its commits are for the
    // old topic.
    const names = Array.from({ length: 10 }, (_, i) => `new${i}`);
    for (const t of names.slice(0, 2)) await log.produce(3, bytes(t), 15_000);
    await until(() => old.ends.length > 0);
    for (const t of names.slice(2)) await log.produce(3, bytes(t), 15_000);
    await old.reader.commit(6).catch(() => "refused, which is as well");
    expect(await log.committed(3, "recreated")).toBeUndefined();
    await old.reader.stop();
    const next = await Seen.of(log, 3, "recreated");
    expect(await next.until(10)).toEqual(names);
    expect(next.gaps).toEqual([]);
    await next.reader.commit(10);
    expect(await log.committed(3, "recreated")).toBe(10);
    await next.reader.stop();
  }, 120_000);

  it("keeps the headers of records that have some", async () => {
    const { end } = offsetRange(await log.offsets(3), 3),
      headers = { traceparent: "00-1-2-01", tracestate: "vendor=ü" };
    await Promise.all([
      log.produce(3, bytes("with"), 10_000, headers),
      log.produce(3, bytes("without"), 10_000),
    ]);
    const seen = await Seen.of(log, 3, "headers", end);
    await seen.until(2);
    await seen.reader.stop();
    expect(seen.records.map((r) => r.headers)).toEqual([headers, undefined]);
    expect("headers" in seen.records[1]!).toBe(false);
  }, 30_000);
}
