import type {
  LogRecord,
  OffsetRange,
  PartitionedLog,
  PartitionReader,
  ReadOptions,
} from "./partitioned-log.ts";

interface Partition {
  start: number;
  records: LogRecord[];
  waiters: Set<() => void>;
  groups: Map<string, { committed: number | undefined; readers: object[] }>;
}

/** The twin of a topic in memory: for tests, and to hold the real one against. */
export class InMemoryLog implements PartitionedLog {
  readonly retentionMs: number;
  private readonly list: Partition[];
  constructor(partitions: number, retentionMs = 86_400_000) {
    this.retentionMs = retentionMs;
    this.list = Array.from({ length: partitions }, () => ({
      start: 0,
      records: [],
      waiters: new Set(),
      groups: new Map(),
    }));
  }

  get partitions(): number {
    return this.list.length;
  }
  connect(): Promise<string[]> {
    return Promise.resolve([]);
  }

  produce(partition: number, value: Uint8Array): Promise<number> {
    const p = this.list[partition]!;
    const offset = p.start + p.records.length;
    p.records.push({ offset, timestampMs: Date.now(), value: value.slice() });
    this.wake(p);
    return Promise.resolve(offset);
  }

  offsets(): Promise<OffsetRange[]> {
    return Promise.resolve(this.list.map((p) => ({ start: p.start, end: p.start + p.records.length })));
  }
  offsetAt(partition: number, timeMs: number): Promise<number> {
    const p = this.list[partition]!,
      at = p.records.findIndex((r) => r.timestampMs >= timeMs);
    return Promise.resolve(p.start + (at < 0 ? p.records.length : at));
  }
  committed(partition: number, group: string): Promise<number | undefined> {
    return Promise.resolve(this.list[partition]!.groups.get(group)?.committed);
  }

  /** Drops what is older than an offset, as retention does. */
  expire(partition: number, before: number): void {
    const p = this.list[partition]!;
    p.records.splice(0, before - p.start);
    p.start = before;
  }

  read(partition: number, options: ReadOptions): Promise<PartitionReader> {
    const p = this.list[partition]!;
    let g = p.groups.get(options.group);
    if (!g) p.groups.set(options.group, (g = { committed: undefined, readers: [] }));
    const group = g,
      me = {};
    group.readers.push(me);
    const state = { stopped: false };
    const loop = async (): Promise<void> => {
      while (!state.stopped && group.readers[0] !== me) await this.change(p);
      let at = options.again ? (options.from ?? 0) : Math.max(options.from ?? 0, group.committed ?? 0);
      if (at > p.start + p.records.length) {
        options.onGap(at, p.start);
        at = p.start;
      }
      while (!state.stopped) {
        if (at < p.start) {
          options.onGap(at, p.start);
          at = p.start;
        }
        const end = p.start + p.records.length;
        if (at >= end) {
          await this.change(p);
          continue;
        }
        const records = p.records.slice(at - p.start, at - p.start + 100);
        await options.onRecords(records, end);
        at += records.length;
      }
    };
    const done = loop();
    return Promise.resolve({
      commit: (offset) => {
        group.committed = offset;
        return Promise.resolve();
      },
      stop: async () => {
        state.stopped = true;
        this.wake(p);
        await done;
        group.readers.splice(group.readers.indexOf(me), 1);
        this.wake(p);
      },
    });
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
