/** What an owner says of a partition that it reads. */
export interface PartitionState {
  partition: number;
  owner: string;
  /** the next offset to be read */
  position: number;
  /** records below are in the bucket */
  committed: number;
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
  partitions: number[];
}
