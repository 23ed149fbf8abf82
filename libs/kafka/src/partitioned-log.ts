import { CinderblockError } from "@cinderblock/errors";

/** One record of a partition; `offset` is its position there. */
export interface LogRecord {
  offset: number;
  /** time at which the broker received the record */
  timestampMs: number;
  value: Uint8Array;
  /** absent: the record has none */
  headers?: RecordHeaders;
}

/** Texts of a record in addition to its value, by name. */
export type RecordHeaders = Readonly<Record<string, string>>;

/** Offset range of a partition: the oldest kept record, and the next record to write. */
export interface OffsetRange {
  start: number;
  end: number;
}

/**
 * Offset ranges of a topic's partitions at one moment. An offset has a meaning only together with its topic
 * ID.
 */
export interface TopicOffsets {
  topicId: string;
  /** one range per partition; undefined: no leader of the partition responds */
  ranges: (OffsetRange | undefined)[];
}

/** A consumer group's committed offset. */
export interface CommittedOffset {
  offset: number;
  /** topic of the offset; "": committed by the previous release, or by hand, without a topic ID */
  topicId: string;
}

/** Reads one partition, in order. */
export interface PartitionReader {
  /**
   * Commits `offset` as the start of the group's next reader.
   * @throws `unavailable`: the commit failed, or its outcome is unknown
   */
  commit(offset: number): Promise<void>;
  /** Resolves when the current records are processed and no more will follow. */
  stop(): Promise<void>;
}

/** Options of one reader. */
export interface ReadOptions {
  /** readers of one partition in one group take turns: one reads, the others wait */
  group: string;
  /** topic of `from` and of the commits */
  topicId: string;
  /** start offset of this reader; a committed offset beyond it takes precedence */
  from: number | undefined;
  /** begin at `from` even if the group has committed more: records are read again */
  again?: boolean;
  /**
   * records in order; the next ones follow when the promise resolves; must not reject. `end` is the
   * partition's end as last reported by the broker
   */
  onRecords: (records: readonly LogRecord[], end: number) => Promise<void>;
  /**
   * the wanted offset is gone: this reader missed the records up to `start`. A `start` below `wanted`: the
   * partition ends before the wanted offset
   */
  onGap: (wanted: number, start: number) => void;
  /** the reader ended by itself and delivers nothing more: start another reader */
  onEnd?: (reason: unknown) => void;
}

/** A partitioned topic with the operations of the write path. Offsets are integers below 2^53. */
export interface PartitionedLog {
  /**
   * Checks the topic, creates it where allowed, and watches it until `close`.
   * @throws when the topic is unusable.
   * @returns risks of the setup
   */
  connect(): Promise<string[]>;
  /**
   * ID of this topic, new when the topic is deleted and created again; "": the brokers report no topic IDs
   */
  readonly topicId: string;
  /** number of partitions at the last check; the number may grow */
  readonly partitions: number;
  /** retention of records in milliseconds */
  readonly retentionMs: number;
  /** reason to refuse pushes to the topic: its settings lose records; "": pushes may go there */
  readonly problem: string;
  /** Checks the topic now. */
  refresh(): Promise<void>;
  /**
   * Resolves with the record's offset when all in-sync replicas have it. Rejects with `unavailable` after
   * `timeoutMs`, when the record may be stored nevertheless.
   */
  produce(partition: number, value: Uint8Array, timeoutMs: number, headers?: RecordHeaders): Promise<number>;
  /** Current offsets of all partitions, or of one partition only. */
  offsets(partition?: number): Promise<TopicOffsets>;
  /**
   * Offset of the first record that the broker received at `timeMs` or later; the end without such a record.
   */
  offsetAt(partition: number, timeMs: number): Promise<number>;
  /**
   * Offset that a group committed for a partition; undefined without one. Ignores a commit for another topic.
   */
  committed(partition: number, group: string): Promise<number | undefined>;
  read(partition: number, options: ReadOptions): Promise<PartitionReader>;
  close(): Promise<void>;
}

/** End offsets of all partitions. @throws `unavailable`: a partition without a leader would look empty */
export function endOffsets({ ranges }: TopicOffsets): number[] {
  return ranges.map((range, p) => {
    if (range === undefined) throw noLeaderError(p);
    return range.end;
  });
}

/** Offsets of one partition. @throws `unavailable`: the partition has no leader, or does not exist */
export function offsetRange({ ranges }: TopicOffsets, partition: number): OffsetRange {
  const range = ranges[partition];
  if (range === undefined) throw noLeaderError(partition);
  return range;
}

/** Error of a partition that has no leader. */
export function noLeaderError(partition: number): CinderblockError {
  return new CinderblockError("unavailable", `partition ${partition} of the log has no leader`);
}
