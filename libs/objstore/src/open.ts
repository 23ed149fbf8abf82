import type { AzureConfig } from "./azure.ts";
import type { Bucket } from "./bucket.ts";
import { bounded } from "./bounded.ts";
import { FilesystemBucket } from "./filesystem.ts";
import type { GcsConfig } from "./gcs.ts";
import { measured } from "./measured.ts";
import { prefixed } from "./prefixed.ts";
import type { S3Config } from "./s3.ts";
import type { SwiftConfig } from "./swift.ts";

type Backend =
  | { backend: "filesystem"; directory: string }
  | { backend: "s3"; s3: S3Config }
  | { backend: "gcs"; gcs: GcsConfig }
  | { backend: "azure"; azure: AzureConfig }
  | { backend: "swift"; swift: SwiftConfig };

/** Where a bucket is: plain data, so that every thread opens its own. */
export type BucketSpec = Backend & {
  /** all objects lie below it */
  prefix: string;
  /** requests in flight at once, of one thread */
  maxRequests: number;
  /** from `operationCounters` */
  counters: SharedArrayBuffer;
};

/** A vendor's client is loaded only where it is used. */
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

/** Opens a bucket. */
export async function openBucket(spec: BucketSpec): Promise<Bucket> {
  return measured(prefixed(bounded(await openBackend(spec), spec.maxRequests), spec.prefix), spec.counters);
}

/** What a person calls the bucket: its directory, bucket or container. */
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
