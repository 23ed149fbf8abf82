/** State of a partition, reported by its owner. The previous release does not report the optional fields. */
export interface PartitionState {
  partition: number;
  owner: string;
  /** topic of the offsets */
  topicId?: string;
  /** number of partitions that the owner and the others of its zone divide */
  of?: number;
  /** highest number of partitions that all writers place by at least, according to the records read; absent: unknown */
  settled?: number;
  /** the next offset to read */
  position: number;
  /** all records below this offset are in the bucket */
  committed: number;
  /** offset of the oldest record that the topic keeps */
  start?: number;
  /** the partition's end as last reported by the broker */
  end: number;
  /** age of the oldest record that is not in the bucket, in milliseconds; 0: all records are in the bucket */
  unuploadedAgeMs: number;
  /** lag of the reader in milliseconds; 0: at the end */
  lagMs: number;
}

/** Partitions whose unstored records an ingester has completely, out of `of` partitions. */
export interface CaughtUp {
  of: number;
  /** topic of the partitions; absent: previous release */
  topicId?: string;
  partitions: number[];
}
