export { isUlid, newUlid, ulidBefore, ulidBytes, ulidTimeMs } from "./ulid.ts";
export { decodeMeta, encodeMeta, LABEL_HOSTNAME, LABEL_SHARD, secondsText } from "./meta.ts";
export type { BlockMeta, BlockParent, BlockFileMeta } from "./meta.ts";
export {
  BUCKET_INDEX_VERSION,
  decodeBucketIndex,
  decodeDeletionMark,
  encodeBucketIndex,
  encodeDeletionMark,
  encodeNoCompactMark,
  encodeTenantDeletionMark,
  decodeTenantDeletionMark,
  ulidOfDeletionMark,
  ulidOfNoCompactMark,
} from "./bucket-index.ts";
export type {
  BucketIndex,
  BucketIndexBlock,
  BucketIndexMark,
  DeletionMark,
  TenantDeletionMark,
} from "./bucket-index.ts";
export { decodeShipper, encodeShipper } from "./shipper.ts";
export {
  emptyShardHint,
  isRewrittenHint,
  rewrittenHint,
  emptyShardsOf,
  hasCompleteSource,
  mergedHints,
  parseShard,
} from "./shards.ts";
export type { ShardNumber, ShardOfSet } from "./shards.ts";
