import type { Bucket } from "./bucket.ts";
import { FilesystemBucket } from "./filesystem.ts";
import { measured } from "./measured.ts";
import { prefixed } from "./prefixed.ts";
import type { S3Config } from "./s3.ts";

/** Where a bucket is: plain data, so that every thread opens its own. */
export type BucketSpec = ({ backend: "filesystem"; directory: string } | { backend: "s3"; s3: S3Config }) & {
  /** all objects lie below it */
  prefix: string;
  /** from `operationCounters` */
  counters: SharedArrayBuffer;
};

/** Opens a bucket; a vendor's client is loaded only where it is used. */
export async function openBucket(spec: BucketSpec): Promise<Bucket> {
  const bucket = spec.backend === "filesystem" ? new FilesystemBucket(spec.directory) : new (await import("./s3.ts")).S3Bucket(spec.s3);
  return measured(prefixed(bucket, spec.prefix), spec.counters);
}
