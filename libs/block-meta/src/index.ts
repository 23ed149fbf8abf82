export { isUlid, newUlid, ulidTimeMs } from "./ulid.ts";
export { decodeMeta, encodeMeta, LABEL_HOSTNAME, LABEL_SHARD, secondsText } from "./meta.ts";
export type { BlockMeta, BlockParent, MetaFile } from "./meta.ts";
export { BUCKET_INDEX_VERSION, decodeBucketIndex, decodeDeletionMark, encodeBucketIndex, encodeDeletionMark, markedUlid } from "./bucket-index.ts";
export type { BucketIndex, BucketIndexBlock, BucketIndexMark, DeletionMark } from "./bucket-index.ts";
export { decodeShipper, encodeShipper } from "./shipper.ts";
