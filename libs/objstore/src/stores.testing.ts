import {
  type AzureServer,
  type GcsServer,
  type S3Server,
  startAzurite,
  startGcsServer,
  startS3Server,
  startSwift,
  type SwiftServer,
  temporaryFolder,
} from "@cinderblock/testkit";
import type { AzureConfig, BucketSpec, GcsConfig, S3Config, SwiftConfig } from "./index.ts";
import { operationCounters } from "./with-metrics.ts";

async function createContainer(connection: string, name: string): Promise<void> {
  const { BlobServiceClient } = await import("@azure/storage-blob");
  await BlobServiceClient.fromConnectionString(connection).createContainer(name);
}

export type BackendName = "filesystem" | "s3" | "gcs" | "azure" | "swift";

export const REMOTE = ["s3", "gcs", "azure", "swift"] as const;
export type RemoteName = (typeof REMOTE)[number];

type More = Partial<S3Config & GcsConfig & AzureConfig & SwiftConfig>;

/**
 * Real servers of object stores, each with the buckets `blocks` and `second`, for test groups that declare
 * the required tools.
 */
export class TestStores {
  s3!: S3Server;
  gcs!: GcsServer;
  azure!: AzureServer;
  swift!: SwiftServer;

  /** Starts the servers of these stores, each once. */
  async start(...stores: readonly BackendName[]): Promise<void> {
    const buckets = ["blocks", "second"];
    for (const store of stores) {
      if (store === "s3") this.s3 ??= await startS3Server(buckets);
      if (store === "gcs") this.gcs ??= await startGcsServer(buckets);
      if (store === "swift") this.swift ??= await startSwift(buckets);
      if (store === "azure") this.azure ??= await startAzurite(buckets, createContainer);
    }
  }

  /** Host and port of a store's server. */
  address(store: RemoteName): string {
    return store === "s3" ? this.s3.endpoint : this[store].address;
  }

  /** Settings that open a bucket. @param address address of a proxy in front of the server */
  spec(backend: BackendName, prefix: string, more: More = {}, address?: string): BucketSpec {
    const { s3, azure, swift } = this;
    const shared = { prefix, maxRequests: 16, counters: operationCounters() };
    switch (backend) {
      case "filesystem":
        return { backend, directory: temporaryFolder(), ...shared };
      case "s3":
        return {
          backend,
          ...shared,
          s3: {
            bucket: "blocks",
            endpoint: address ?? s3.endpoint,
            region: "",
            accessKeyId: s3.accessKeyId,
            secretAccessKey: s3.secretAccessKey,
            sessionToken: "",
            insecure: true,
            lookup: "auto",
            sseType: "",
            sseKmsKeyId: "",
            sseKmsContext: "",
            maxConnections: 8,
            requestTimeoutMs: 10_000,
            tls: { skipVerify: false, ca: "" },
            flags: {
              bucket: "-storage.s3.bucket-name",
              credentials: "-storage.s3.access-key-id and -storage.s3.secret-access-key",
            },
            ...more,
          },
        };
      case "gcs":
        return {
          backend,
          ...shared,
          gcs: {
            bucket: "blocks",
            serviceAccount: "",
            endpoint: `http://${address ?? this.gcs.address}`,
            requestTimeoutMs: 10_000,
            ...more,
          },
        };
      case "azure":
        return {
          backend,
          ...shared,
          azure: {
            container: "blocks",
            account: "",
            accountKey: "",
            connectionString: azure.connectionString(address),
            endpointSuffix: "",
            userAssignedId: "",
            tenantId: "",
            clientId: "",
            clientSecret: "",
            maxRetries: 0,
            requestTimeoutMs: 10_000,
            ...more,
          },
        };
      case "swift":
        return {
          backend,
          ...shared,
          swift: {
            authVersion: 0,
            authUrl: address === undefined ? swift.authUrl : `http://${address}/auth/v1.0`,
            internal: false,
            username: swift.username,
            userId: "",
            userDomainName: "",
            userDomainId: "",
            password: swift.password,
            domainId: "",
            domainName: "",
            projectId: "",
            projectName: "",
            projectDomainId: "",
            projectDomainName: "",
            regionName: "",
            container: "blocks",
            maxRetries: 0,
            connectTimeoutMs: 5000,
            requestTimeoutMs: 10_000,
            segmentBytes: 10 << 20,
            ...more,
          },
        };
    }
  }
}
