import type { AzureConfig } from "./azure.ts";
import type { Bucket } from "./bucket.ts";
import { limitConcurrency } from "./limit-concurrency.ts";
import { FilesystemBucket } from "./filesystem.ts";
import type { GcsConfig } from "./gcs.ts";
import { withMetrics } from "./with-metrics.ts";
import { withPrefix } from "./with-prefix.ts";
import type { S3Config } from "./s3.ts";
import type { SwiftConfig } from "./swift.ts";

type Backend =
  | { backend: "filesystem"; directory: string }
  | { backend: "s3"; s3: S3Config }
  | { backend: "gcs"; gcs: GcsConfig }
  | { backend: "azure"; azure: AzureConfig }
  | { backend: "swift"; swift: SwiftConfig };

/** Settings of a bucket: plain data, so that every thread can open its own. */
export type BucketSpec = Backend & {
  /** prefix of the names of all objects */
  prefix: string;
  /** maximum requests in flight per thread */
  maxRequests: number;
  /** counters of bucket operations, from `operationCounters` */
  counters: SharedArrayBuffer;
};

/** Opens the backend; loads a vendor's client only on use. */
async function openBackend(spec: Backend): Promise<Bucket> {
  switch (spec.backend) {
    case "filesystem":
      return new FilesystemBucket(spec.directory);
    case "s3":
      return new (await import("./s3.ts")).S3Bucket(spec.s3);
    case "gcs":
      return new (await import("./gcs.ts")).GcsBucket(spec.gcs);
    case "azure":
      return new (await import("./azure.ts")).AzureBucket(spec.azure);
    case "swift":
      return new (await import("./swift.ts")).SwiftBucket(spec.swift);
  }
}

/** Opens a bucket with its prefix, request limit and counters. */
export async function openBucket(spec: BucketSpec): Promise<Bucket> {
  return withMetrics(
    withPrefix(limitConcurrency(await openBackend(spec), spec.maxRequests), spec.prefix),
    spec.counters,
  );
}

/** Name of the bucket for people: its directory, bucket or container. */
export function bucketName(spec: BucketSpec): string {
  switch (spec.backend) {
    case "filesystem":
      return spec.directory;
    case "s3":
      return spec.s3.bucket;
    case "gcs":
      return spec.gcs.bucket;
    case "azure":
      return spec.azure.container;
    case "swift":
      return spec.swift.container;
  }
}
