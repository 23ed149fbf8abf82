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
import { operationCounters } from "./measured.ts";

export const BACKENDS = ["filesystem", "s3", "gcs", "azure", "swift"] as const;
export type BackendName = (typeof BACKENDS)[number];

/** Real servers of all stores, each with the buckets `blocks` and `second`; those that cannot be installed are undefined. */
export interface TestStores {
  s3: S3Server | undefined;
  gcs: GcsServer | undefined;
  azure: AzureServer | undefined;
  swift: SwiftServer | undefined;
  /** `address`: of a proxy before the server */
  spec(
    backend: BackendName,
    prefix: string,
    more?: Partial<S3Config & GcsConfig & AzureConfig & SwiftConfig>,
    address?: string,
  ): BucketSpec | undefined;
  stop(): void;
}

export async function startStores(): Promise<TestStores> {
  const buckets = ["blocks", "second"];
  const { BlobServiceClient } = await import("@azure/storage-blob");
  const [s3, gcs, azure, swift] = await Promise.all([
    startS3Server(buckets),
    startGcsServer(buckets),
    startAzurite(buckets, async (connection, name) => {
      await BlobServiceClient.fromConnectionString(connection).createContainer(name);
    }),
    startSwift(buckets),
  ]);
  return {
    s3,
    gcs,
    azure,
    swift,
    spec(backend, prefix, more = {}, address) {
      const shared = { prefix, maxRequests: 16, counters: operationCounters() };
      switch (backend) {
        case "filesystem":
          return { backend, directory: temporaryFolder(), ...shared };
        case "s3":
          return (
            s3 && {
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
            }
          );
        case "gcs":
          return (
            gcs && {
              backend,
              ...shared,
              gcs: {
                bucket: "blocks",
                serviceAccount: "",
                endpoint: `http://${address ?? gcs.address}`,
                requestTimeoutMs: 10_000,
                ...more,
              },
            }
          );
        case "azure":
          return (
            azure && {
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
            }
          );
        case "swift":
          return (
            swift && {
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
            }
          );
      }
    },
    stop() {
      for (const s of [s3, gcs, azure, swift]) s?.stop();
    },
  };
}
