export type { Bucket, ObjectAttributes } from "./bucket.ts";
export { FilesystemBucket } from "./filesystem.ts";
export { listAll } from "./list-all.ts";
export { observeOperations, operationCounters } from "./measured.ts";
export { openBucket } from "./open.ts";
export type { BucketSpec } from "./open.ts";
export { prefixed } from "./prefixed.ts";
export type { S3Config } from "./s3.ts";
