/** What an owner says of a partition that it reads. Fields that may be absent are those that the release before does not tell. */
export interface PartitionState {
  partition: number;
  owner: string;
  /** the topic that the offsets are of */
  topicId?: string;
  /** partitions that the owner and the others of its zone divide */
  of?: number;
  /** the next offset to be read */
  position: number;
  /** records below are in the bucket */
  committed: number;
  /** oldest record that the topic keeps */
  start?: number;
  /** the partition's end as the broker last said */
  end: number;
  /** age of the oldest record that is not in the bucket, in milliseconds; 0: all are */
  unuploadedAgeMs: number;
  /** how far reading is behind, in milliseconds; 0: at the end */
  lagMs: number;
}

/** Partitions of which an ingester has all that is not in the bucket, of `of` that there are. */
export interface CaughtUp {
  of: number;
  /** the topic that is read; absent: the release before does not tell */
  topicId?: string;
  partitions: number[];
}
