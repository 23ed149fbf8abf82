import { CinderblockError } from "@cinderblock/errors";

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

/** Offsets of a topic's partitions at one moment. An offset means nothing without the topic that it is of. */
export interface TopicOffsets {
  topicId: string;
  /** one for each partition that there is; undefined: it has no leader that answers */
  ranges: (OffsetRange | undefined)[];
}

/** A consumer group's committed offset. */
export interface Commit {
  offset: number;
  /** topic that the offset is of; "": the release before, or a person, committed it and did not say */
  topicId: string;
}

/** Reads one partition, in order. */
export interface PartitionReader {
  /** Makes `offset` the place where the group's next reader begins. @throws `unavailable`: it was not, or it is not known yet */
  commit(offset: number): Promise<void>;
  /** Resolves when the record in hand is done and nothing more comes. */
  stop(): Promise<void>;
}

export interface ReadOptions {
  /** readers of one partition in one group take turns: one reads, the others wait */
  group: string;
  /** the topic that `from` is an offset of, and that commits are for */
  topicId: string;
  /** where this reader would begin; the group's committed offset counts when it is further */
  from: number | undefined;
  /** begin at `from` even where the group has committed more: records are read again */
  again?: boolean;
  /** records in order; the next ones come when it resolves, it must not reject. `end` is the partition's end as the broker last said */
  onRecords: (records: readonly LogRecord[], end: number) => Promise<void>;
  /** the wanted offset is gone: records between were lost to this reader; a start before it: the partition ends before it */
  onGap: (wanted: number, start: number) => void;
  /** the reader ended by itself and will bring nothing more: read again */
  onEnd?: (reason: unknown) => void;
}

/** A topic, by the operations that pushes and reads need. Offsets are integers below 2^53. */
export interface PartitionedLog {
  /** Checks the topic, creates it where allowed, and watches it until `close`; throws where it cannot be used. @returns what is unsafe about it */
  connect(): Promise<string[]>;
  /** names the topic itself: a topic that is deleted and created again has another one; "": the brokers name none */
  readonly topicId: string;
  /** partitions when the topic was last looked at: they may become more */
  readonly partitions: number;
  /** milliseconds that records are kept */
  readonly retentionMs: number;
  /** why pushes must not go to the topic now: its settings lose records; "": they may */
  readonly problem: string;
  /** Looks at the topic now. */
  refresh(): Promise<void>;
  /** Resolves when the record is on all replicas in sync. `unavailable` after `timeoutMs`: it may be there all the same. @returns its offset */
  produce(partition: number, value: Uint8Array, timeoutMs: number): Promise<number>;
  /** Offsets of all partitions, or of one alone, as they are now. */
  offsets(partition?: number): Promise<TopicOffsets>;
  /** The first record that the broker took at `timeMs` or later; the end where there is none. */
  offsetAt(partition: number, timeMs: number): Promise<number>;
  /** The offset that a group committed for a partition. A commit for another topic counts as none. */
  committed(partition: number, group: string): Promise<number | undefined>;
  read(partition: number, options: ReadOptions): Promise<PartitionReader>;
  close(): Promise<void>;
}

/** The ends of all partitions. @throws `unavailable`: one has no leader, and would pass for an empty one */
export function endsOf({ ranges }: TopicOffsets): number[] {
  return ranges.map((range, p) => {
    if (range === undefined) throw noLeader(p);
    return range.end;
  });
}

/** The offsets of one partition. @throws `unavailable`: it has no leader, or is not there */
export function rangeOf({ ranges }: TopicOffsets, partition: number): OffsetRange {
  const range = ranges[partition];
  if (range === undefined) throw noLeader(partition);
  return range;
}

export function noLeader(partition: number): CinderblockError {
  return new CinderblockError("unavailable", `partition ${partition} of the log has no leader now`);
}
