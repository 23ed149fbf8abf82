import { CinderblockError } from "@cinderblock/errors";
import type {
  CommittedOffset,
  LogRecord,
  OffsetRange,
  PartitionedLog,
  PartitionReader,
  ReadOptions,
  RecordHeaders,
  TopicOffsets,
} from "./partitioned-log.ts";

interface Group {
  commit: CommittedOffset | undefined;
  /** readers of one partition: the first one reads, the others wait for their turn */
  readers: object[];
}
interface Partition {
  start: number;
  records: LogRecord[];
  waiters: Set<() => void>;
}

/** Operations of a partition that can fail, by refusal or by silence. */
export type LogOperation = "produce" | "offsets" | "committed" | "commit" | "join" | "fetch" | "stop";
/** Kind of failure: throws `unavailable`, or never responds. */
export type FailureMode = "refuses" | "is silent";

/** Retention of the in-memory log, by time and by bytes per partition. */
export interface InMemoryLogOptions {
  retentionMs?: number;
  /** maximum bytes of a partition; the oldest records are dropped, read or unread */
  retentionBytes?: number;
}

/**
 * In-memory twin of a topic, with the faults of a real one. Tests use it, and one suite compares it with
 * Kafka.
 */
export class InMemoryLog implements PartitionedLog {
  readonly retentionMs: number;
  topicId = "memory-1";
  problem = "";
  private readonly retentionBytes: number;
  private list: Partition[];
  /**
   * consumer groups; they outlive the topic's partitions, as in Kafka, but their commits are deleted with the
   * topic
   */
  private readonly groups = new Map<string, Group>();
  private readonly troubles = new Map<string, FailureMode>();
  private topics = 1;

  constructor(
    partitions: number,
    { retentionMs = 86_400_000, retentionBytes = Infinity }: InMemoryLogOptions = {},
  ) {
    this.retentionMs = retentionMs;
    this.retentionBytes = retentionBytes;
    this.list = Array.from({ length: partitions }, empty);
  }

  get partitions(): number {
    return this.list.length;
  }
  connect(): Promise<string[]> {
    return Promise.resolve([]);
  }
  refresh(): Promise<void> {
    return Promise.resolve();
  }

  // ---- administration and faults

  /** Raises the number of partitions to `count`. */
  addPartitions(count: number): void {
    while (this.list.length < count) this.list.push(empty());
  }

  /** Deletes the topic and creates it again. Its commits are gone; readers continue at their old offsets. */
  recreate(partitions = this.list.length): void {
    const old = this.list;
    this.topicId = `memory-${++this.topics}`;
    this.list = Array.from({ length: partitions }, empty);
    for (const g of this.groups.values()) g.commit = undefined;
    for (const p of old) this.wake(p);
  }

  /** Drops records before an offset, as retention does. */
  expire(partition: number, before: number): void {
    const p = this.list[partition]!;
    p.records.splice(0, before - p.start);
    p.start = before;
  }

  /** Makes an operation of a partition fail from now on; undefined restores the operation. */
  trouble(partition: number, operation: LogOperation, trouble: FailureMode | undefined): void {
    if (trouble) this.troubles.set(`${operation} ${partition}`, trouble);
    else this.troubles.delete(`${operation} ${partition}`);
    for (const p of this.list) this.wake(p);
  }

  private async pass(partition: number, operation: LogOperation): Promise<void> {
    const trouble = this.troubles.get(`${operation} ${partition}`);
    if (trouble === "refuses")
      throw new CinderblockError("unavailable", `partition ${partition}: ${operation} is refused`);
    if (trouble === "is silent")
      await new Promise(() => {
        /* never */
      });
  }

  // ---- the log

  async produce(
    partition: number,
    value: Uint8Array,
    _timeoutMs?: number,
    headers?: RecordHeaders,
  ): Promise<number> {
    await this.pass(partition, "produce");
    const p = this.list[partition];
    if (!p) throw new CinderblockError("unavailable", `the topic has no partition ${partition}`);
    const offset = p.start + p.records.length;
    p.records.push({
      offset,
      timestampMs: Date.now(),
      value: value.slice(),
      ...(headers ? { headers } : {}),
    });
    for (let bytes = sizeOf(p.records); bytes > this.retentionBytes && p.records.length > 1; ) {
      bytes -= p.records.shift()!.value.length;
      p.start++;
    }
    this.wake(p);
    return offset;
  }

  offsets(partition?: number): Promise<TopicOffsets> {
    // A partition's leader that refuses or does not respond returns no offset range in time.
    const range = (p: Partition, i: number): OffsetRange | undefined =>
      (partition !== undefined && i !== partition) || this.troubles.has(`offsets ${i}`)
        ? undefined
        : { start: p.start, end: p.start + p.records.length };
    return Promise.resolve({ topicId: this.topicId, ranges: this.list.map(range) });
  }
  async offsetAt(partition: number, timeMs: number): Promise<number> {
    await this.pass(partition, "offsets");
    const p = this.list[partition]!,
      at = p.records.findIndex((r) => r.timestampMs >= timeMs);
    return p.start + (at < 0 ? p.records.length : at);
  }
  async committed(partition: number, group: string): Promise<number | undefined> {
    await this.pass(partition, "committed");
    return this.believed(this.groups.get(group), this.topicId);
  }

  private believed(group: Group | undefined, topicId: string): number | undefined {
    const commit = group?.commit;
    return commit && (commit.topicId === "" || commit.topicId === topicId) ? commit.offset : undefined;
  }

  async read(partition: number, options: ReadOptions): Promise<PartitionReader> {
    await this.pass(partition, "offsets");
    let g = this.groups.get(options.group);
    if (!g) this.groups.set(options.group, (g = { commit: undefined, readers: [] }));
    const group = g,
      me = {};
    group.readers.push(me);
    const state = { stopped: false };
    const done = this.loop(partition, options, group, me, state);
    return {
      commit: async (offset) => {
        await this.pass(partition, "commit");
        if (group.readers[0] !== me)
          throw new CinderblockError("unavailable", "another reader of the group has the partition");
        group.commit = { offset, topicId: options.topicId };
      },
      stop: async () => {
        state.stopped = true;
        for (const p of this.list) this.wake(p);
        await this.pass(partition, "stop");
        await done;
        group.readers.splice(group.readers.indexOf(me), 1);
        for (const p of this.list) this.wake(p);
      },
    };
  }

  private async loop(
    partition: number,
    options: ReadOptions,
    group: Group,
    me: object,
    state: { stopped: boolean },
  ): Promise<void> {
    const ended = (reason: string): void => {
      if (!state.stopped) options.onEnd?.(new CinderblockError("unavailable", reason));
    };
    let begun = false,
      at = 0;
    while (!state.stopped) {
      const p = this.list[partition];
      if (!p) {
        ended(`partition ${partition} no longer exists`);
        return;
      }
      if (
        group.readers[0] !== me ||
        this.troubles.has(`join ${partition}`) ||
        this.troubles.has(`fetch ${partition}`)
      ) {
        await this.change(p);
        continue;
      }
      const end = p.start + p.records.length;
      if (!begun) {
        const committed = this.believed(group, options.topicId) ?? 0;
        at = options.again ? (options.from ?? 0) : Math.max(options.from ?? 0, committed);
        begun = true;
        if (at > end) {
          options.onGap(at, p.start);
          at = p.start;
        }
      }
      // Like the real reader: detects a recreated topic only when its offset is past the end; otherwise it
      // continues there.
      if (at > end) {
        ended("the topic was recreated");
        return;
      }
      if (at < p.start) {
        options.onGap(at, p.start);
        at = p.start;
      }
      if (at >= end) {
        await this.change(p);
        continue;
      }
      const records = p.records.slice(at - p.start, at - p.start + 100);
      await options.onRecords(records, end);
      at += records.length;
    }
  }

  private change(p: Partition): Promise<void> {
    return new Promise((done) => {
      p.waiters.add(done);
    });
  }
  private wake(p: Partition): void {
    const all = [...p.waiters];
    p.waiters.clear();
    for (const w of all) w();
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

function empty(): Partition {
  return { start: 0, records: [], waiters: new Set() };
}
function sizeOf(records: readonly LogRecord[]): number {
  return records.reduce((n, r) => n + r.value.length, 0);
}
