/** A record as a reader gets it; `offset` is its place in the partition. */
export interface LogRecord {
  offset: number;
  /** when the broker took it */
  timestampMs: number;
  value: Uint8Array;
}

/** Offsets of a partition: the oldest record that is kept, and the next one to be written. */
export interface OffsetRange {
  start: number;
  end: number;
}

/** Reads one partition, in order. */
export interface PartitionReader {
  /** Makes `offset` the place where the group's next reader begins. */
  commit(offset: number): Promise<void>;
  /** Resolves when the record in hand is done and nothing more comes. */
  stop(): Promise<void>;
}

export interface ReadOptions {
  /** readers of one partition in one group take turns: one reads, the others wait */
  group: string;
  /** where this reader would begin; the group's committed offset counts when it is further */
  from: number | undefined;
  /** begin at `from` even where the group has committed more: records are read again */
  again?: boolean;
  /** records in order; the next ones come when it resolves, it must not reject. `end` is the partition's end as the broker last said */
  onRecords: (records: readonly LogRecord[], end: number) => Promise<void>;
  /** the offset wanted is not there any more: what lies between was lost to this reader; a start before it: the topic was made anew */
  onGap: (wanted: number, start: number) => void;
}

/** A topic as what it is used for. Offsets are whole numbers below 2^53. */
export interface PartitionedLog {
  /** Checks the topic, and makes it when it may; throws where it cannot be used. @returns what is unsafe about it */
  connect(): Promise<string[]>;
  readonly partitions: number;
  /** milliseconds that records are kept */
  readonly retentionMs: number;
  /** Resolves when the record is on all replicas in sync. `unavailable` after `timeoutMs`: it may be there all the same. @returns its offset */
  produce(partition: number, value: Uint8Array, timeoutMs: number): Promise<number>;
  /** Offsets of all partitions, as they are now. */
  offsets(): Promise<OffsetRange[]>;
  /** The first record that the broker took at `timeMs` or later; the end where there is none. */
  offsetAt(partition: number, timeMs: number): Promise<number>;
  /** What a group committed for a partition. */
  committed(partition: number, group: string): Promise<number | undefined>;
  read(partition: number, options: ReadOptions): Promise<PartitionReader>;
  close(): Promise<void>;
}
