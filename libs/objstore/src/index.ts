export type { Bucket, ObjectAttributes } from "./bucket.ts";
export { FilesystemBucket } from "./filesystem.ts";
export { prefixed } from "./prefixed.ts";
export { listAll } from "./list-all.ts";
