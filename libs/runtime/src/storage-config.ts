import { readFileSync } from "node:fs";
import { bool, type ConfigOf, duration, int, secret, str } from "@cinderblock/config";
import { CinderblockError } from "@cinderblock/errors";
import { type BucketSpec, operationCounters, type S3Config } from "@cinderblock/objstore";

/** Options of the bucket: v1's names for each backend. */
export const storageSchema = {
  storageBackend: str("storage.backend", "storage.backend", "filesystem", "Object store.", {
    choices: ["filesystem", "s3", "gcs", "azure", "swift", "cos", ""],
  }),
  storagePrefix: str(
    "storage.prefix",
    "storage.prefix",
    "",
    "Prefix of all object names: valid path segments separated by slashes.",
  ),
  storageRequests: int(
    "storage.max-requests-in-flight",
    "storage.max_requests_in_flight",
    64,
    "Maximum number of concurrent bucket requests per thread; further requests wait.",
    { min: 1 },
  ),
  storageDir: str(
    "storage.filesystem.dir",
    "storage.filesystem.dir",
    "./data/bucket",
    "Directory of the filesystem backend.",
  ),

  s3Bucket: str("storage.s3.bucket-name", "storage.s3.bucket_name", "", "Bucket name of the s3 backend."),
  s3Endpoint: str(
    "storage.s3.endpoint",
    "storage.s3.endpoint",
    "",
    "S3 endpoint as host and port, without a scheme. Empty: the AWS endpoint of the region.",
  ),
  s3Region: str("storage.s3.region", "storage.s3.region", "", "S3 region. Empty: us-east-1."),
  s3AccessKey: str(
    "storage.s3.access-key-id",
    "storage.s3.access_key_id",
    "",
    "S3 access key ID. Empty: credentials from the environment, profile files, web identity or the instance role.",
  ),
  s3SecretKey: secret(
    "storage.s3.secret-access-key",
    "storage.s3.secret_access_key",
    "S3 secret access key.",
  ),
  s3SessionToken: secret(
    "storage.s3.session-token",
    "storage.s3.session_token",
    "Session token of temporary S3 credentials.",
  ),
  s3Insecure: bool(
    "storage.s3.insecure",
    "storage.s3.insecure",
    false,
    "Connect to the S3 endpoint over plain HTTP.",
  ),
  s3SkipVerify: bool(
    "storage.s3.http.insecure-skip-verify",
    "storage.s3.http.insecure_skip_verify",
    false,
    "Skip the verification of the S3 endpoint's certificate.",
  ),
  s3Ca: str(
    "storage.s3.http.tls-ca-path",
    "storage.s3.http.tls_ca_path",
    "",
    "PEM file with the certificate authorities that sign the S3 endpoint's certificate. Empty: the system's authorities and those of NODE_EXTRA_CA_CERTS.",
  ),
  s3PathStyle: bool(
    "storage.s3.force-path-style",
    "storage.s3.force_path_style",
    false,
    "Put the bucket name into the path of S3 request URLs; equivalent to -storage.s3.bucket-lookup-type=path.",
  ),
  s3Lookup: str(
    "storage.s3.bucket-lookup-type",
    "storage.s3.bucket_lookup_type",
    "auto",
    "Position of the bucket name in S3 request URLs; auto uses the path for all endpoints except those of AWS.",
    { choices: ["auto", "path", "virtual-hosted"] },
  ),
  s3Signature: str(
    "storage.s3.signature-version",
    "storage.s3.signature_version",
    "v4",
    "Version of S3 request signatures; only v4 is supported.",
    { choices: ["v4"] },
  ),
  s3SseType: str(
    "storage.s3.sse.type",
    "storage.s3.sse.type",
    "",
    "Type of server-side encryption of objects in S3. Empty: none is requested.",
    {
      choices: ["", "SSE-S3", "SSE-KMS"],
    },
  ),
  s3SseKey: str(
    "storage.s3.sse.kms-key-id",
    "storage.s3.sse.kms_key_id",
    "",
    "Key ID for server-side encryption of type SSE-KMS.",
  ),
  s3SseContext: str(
    "storage.s3.sse.kms-encryption-context",
    "storage.s3.sse.kms_encryption_context",
    "",
    "Encryption context for server-side encryption of type SSE-KMS, as a JSON object.",
  ),
  s3Connections: int(
    "storage.s3.max-connections",
    "storage.s3.max_connections",
    64,
    "Maximum number of connections to the S3 endpoint.",
    { min: 1 },
  ),
  s3Timeout: duration(
    "storage.s3.request-timeout",
    "storage.s3.request_timeout",
    "2m",
    "Maximum time without a response before a request to S3 is retried.",
  ),

  gcsBucket: str("storage.gcs.bucket-name", "storage.gcs.bucket_name", "", "Bucket name of the gcs backend."),
  gcsAccount: secret(
    "storage.gcs.service-account",
    "storage.gcs.service_account",
    "Service account key as JSON. Empty: application default credentials (GOOGLE_APPLICATION_CREDENTIALS, workload identity, metadata server).",
  ),
  gcsEndpoint: str(
    "storage.gcs.endpoint",
    "storage.gcs.endpoint",
    "",
    "Base URL of another server with the GCS JSON API. Empty: Google's.",
  ),
  gcsTimeout: duration(
    "storage.gcs.request-timeout",
    "storage.gcs.request_timeout",
    "2m",
    "Maximum time of a request before it is retried.",
  ),

  azureContainer: str(
    "storage.azure.container-name",
    "storage.azure.container_name",
    "",
    "Container name of the azure backend.",
  ),
  azureAccount: str("storage.azure.account-name", "storage.azure.account_name", "", "Storage account."),
  azureKey: secret(
    "storage.azure.account-key",
    "storage.azure.account_key",
    "Key of the Azure storage account. Empty: client secret, managed identity, or the default credential chain (environment, workload identity, managed identity).",
  ),
  azureConnection: secret(
    "storage.azure.connection-string",
    "storage.azure.connection_string",
    "Azure connection string; overrides the account name and key.",
  ),
  azureSuffix: str(
    "storage.azure.endpoint-suffix",
    "storage.azure.endpoint_suffix",
    "",
    "Domain appended to the name of the Azure storage account. Empty: blob.core.windows.net.",
  ),
  azureRetries: int(
    "storage.azure.max-retries",
    "storage.azure.max_retries",
    0,
    "Maximum number of retries of a request to Azure; 0: 4.",
    { min: 0 },
  ),
  azureUserAssigned: str(
    "storage.azure.user-assigned-id",
    "storage.azure.user_assigned_id",
    "",
    "Client ID of a user-assigned managed identity for Azure storage.",
  ),
  azureTenant: str(
    "storage.azure.az-tenant-id",
    "storage.azure.az_tenant_id",
    "",
    "Microsoft Entra tenant ID of the client secret.",
  ),
  azureClient: str(
    "storage.azure.client-id",
    "storage.azure.client_id",
    "",
    "Application (client) ID of the client secret.",
  ),
  azureClientSecret: secret(
    "storage.azure.client-secret",
    "storage.azure.client_secret",
    "Client secret of an application in Microsoft Entra.",
  ),
  azureTimeout: duration(
    "storage.azure.request-timeout",
    "storage.azure.request_timeout",
    "2m",
    "Maximum time of a request before it is retried.",
  ),

  swiftAuthVersion: int(
    "storage.swift.auth-version",
    "storage.swift.auth_version",
    0,
    "Version of Swift's authentication protocol: 1 (tempauth) or 3 (Keystone); 0 derives it from the URL.",
    { min: 0 },
  ),
  swiftAuthUrl: str(
    "storage.swift.auth-url",
    "storage.swift.auth_url",
    "",
    "URL of Swift's authentication service, for example https://keystone.example/v3.",
  ),
  swiftInternal: bool(
    "storage.swift.internal",
    "storage.swift.internal",
    false,
    "Use the internal endpoint of Swift in the service catalog.",
  ),
  swiftUser: str("storage.swift.username", "storage.swift.username", "", "User."),
  swiftUserDomain: str(
    "storage.swift.user-domain-name",
    "storage.swift.user_domain_name",
    "",
    "Name of the Swift user's domain.",
  ),
  swiftUserDomainId: str(
    "storage.swift.user-domain-id",
    "storage.swift.user_domain_id",
    "",
    "ID of the Swift user's domain.",
  ),
  swiftUserId: str("storage.swift.user-id", "storage.swift.user_id", "", "ID of the Swift user."),
  swiftPassword: secret(
    "storage.swift.password",
    "storage.swift.password",
    "Password or API key of the Swift user.",
  ),
  swiftDomainId: str(
    "storage.swift.domain-id",
    "storage.swift.domain_id",
    "",
    "ID of the domain of Swift user and project.",
  ),
  swiftDomain: str(
    "storage.swift.domain-name",
    "storage.swift.domain_name",
    "",
    "Name of the domain of Swift user and project.",
  ),
  swiftProjectId: str("storage.swift.project-id", "storage.swift.project_id", "", "ID of the Swift project."),
  swiftProject: str(
    "storage.swift.project-name",
    "storage.swift.project_name",
    "",
    "Name of the Swift project.",
  ),
  swiftProjectDomainId: str(
    "storage.swift.project-domain-id",
    "storage.swift.project_domain_id",
    "",
    "ID of the Swift project's domain.",
  ),
  swiftProjectDomain: str(
    "storage.swift.project-domain-name",
    "storage.swift.project_domain_name",
    "",
    "Name of the Swift project's domain.",
  ),
  swiftRegion: str(
    "storage.swift.region-name",
    "storage.swift.region_name",
    "",
    "Region of Swift in the service catalog. Empty: the first region.",
  ),
  swiftContainer: str(
    "storage.swift.container-name",
    "storage.swift.container_name",
    "",
    "Container name of the swift backend.",
  ),
  swiftRetries: int(
    "storage.swift.max-retries",
    "storage.swift.max_retries",
    3,
    "Maximum number of retries of a request to Swift.",
    { min: 0 },
  ),
  swiftConnectTimeout: duration(
    "storage.swift.connect-timeout",
    "storage.swift.connect_timeout",
    "10s",
    "Connection timeout of requests to Swift.",
  ),
  swiftRequestTimeout: duration(
    "storage.swift.request-timeout",
    "storage.swift.request_timeout",
    "5s",
    "Response timeout of requests to Swift; each MiB of the body adds one second.",
  ),
  swiftSegment: int(
    "storage.swift.segment-bytes",
    "storage.swift.segment_bytes",
    1073741824,
    "Size in bytes above which a file is stored as segments in the container <name>_segments.",
    { min: 1 },
  ),

  cosBucket: str(
    "storage.cos.bucket",
    "storage.cos.bucket",
    "",
    "Bucket name of the cos backend, without the application ID.",
  ),
  cosRegion: str("storage.cos.region", "storage.cos.region", "", "Region of the cos bucket."),
  cosApp: str(
    "storage.cos.app-id",
    "storage.cos.app_id",
    "",
    "Application ID at the end of the cos bucket's name.",
  ),
  cosEndpoint: str(
    "storage.cos.endpoint",
    "storage.cos.endpoint",
    "",
    "Host of Tencent COS, if it is not cos.<region>.myqcloud.com.",
  ),
  cosSecretId: str(
    "storage.cos.secret-id",
    "storage.cos.secret_id",
    "",
    "Secret ID of the API key for Tencent COS.",
  ),
  cosSecretKey: secret("storage.cos.secret-key", "storage.cos.secret_key", "The key."),
};

/** Values of the object store options. */
export type StorageConfig = ConfigOf<typeof storageSchema>;

const refuse = (message: string): never => {
  throw new CinderblockError("invalid", message);
};

/** Bucket settings from the options. @throws `invalid` for impossible settings */
export function bucketSpecOf(c: StorageConfig): BucketSpec {
  const shared = { prefix: c.storagePrefix, maxRequests: c.storageRequests, counters: operationCounters() };
  const need = (flag: string, value: string): void => {
    if (value === "") refuse(`-storage.backend=${c.storageBackend} needs ${flag}`);
  };
  switch (c.storageBackend) {
    case "filesystem":
      return { backend: "filesystem", directory: c.storageDir, ...shared };
    case "s3":
      need("-storage.s3.bucket-name", c.s3Bucket);
      return { backend: "s3", s3: s3Of(c), ...shared };
    case "cos":
      need("-storage.cos.bucket", c.cosBucket);
      return { backend: "s3", s3: cosOf(c), ...shared };
    case "gcs": {
      need("-storage.gcs.bucket-name", c.gcsBucket);
      return {
        backend: "gcs",
        gcs: {
          bucket: c.gcsBucket,
          serviceAccount: c.gcsAccount,
          endpoint: c.gcsEndpoint,
          requestTimeoutMs: c.gcsTimeout,
        },
        ...shared,
      };
    }
    case "azure": {
      need("-storage.azure.container-name", c.azureContainer);
      if (c.azureConnection === "")
        need("-storage.azure.account-name or -storage.azure.connection-string", c.azureAccount);
      return {
        backend: "azure",
        ...shared,
        azure: {
          container: c.azureContainer,
          account: c.azureAccount,
          accountKey: c.azureKey,
          connectionString: c.azureConnection,
          endpointSuffix: c.azureSuffix,
          userAssignedId: c.azureUserAssigned,
          tenantId: c.azureTenant,
          clientId: c.azureClient,
          clientSecret: c.azureClientSecret,
          maxRetries: c.azureRetries,
          requestTimeoutMs: c.azureTimeout,
        },
      };
    }
    case "swift": {
      need("-storage.swift.container-name", c.swiftContainer);
      need("-storage.swift.auth-url", c.swiftAuthUrl);
      if (c.swiftAuthVersion === 2 || (c.swiftAuthVersion === 0 && /\/v2(\.0)?\/?$/.test(c.swiftAuthUrl)))
        refuse(
          `-storage.swift.auth-url=${c.swiftAuthUrl}: version 2 of the identity API no longer exists in Keystone; use the URL that ends in /v3`,
        );
      if (c.swiftAuthVersion > 3)
        refuse(`-storage.swift.auth-version=${c.swiftAuthVersion}: expected 0, 1 or 3`);
      return {
        backend: "swift",
        ...shared,
        swift: {
          authVersion: c.swiftAuthVersion,
          authUrl: c.swiftAuthUrl,
          internal: c.swiftInternal,
          username: c.swiftUser,
          userId: c.swiftUserId,
          userDomainName: c.swiftUserDomain,
          userDomainId: c.swiftUserDomainId,
          password: c.swiftPassword,
          domainId: c.swiftDomainId,
          domainName: c.swiftDomain,
          projectId: c.swiftProjectId,
          projectName: c.swiftProject,
          projectDomainId: c.swiftProjectDomainId,
          projectDomainName: c.swiftProjectDomain,
          regionName: c.swiftRegion,
          container: c.swiftContainer,
          maxRetries: c.swiftRetries,
          connectTimeoutMs: c.swiftConnectTimeout,
          requestTimeoutMs: c.swiftRequestTimeout,
          segmentBytes: c.swiftSegment,
        },
      };
    }
    default:
      return refuse(`-storage.backend="" is not allowed: set filesystem, s3, gcs, azure, swift or cos`);
  }
}

/** PEM text of a file; "" without a path. */
function certificates(path: string): string {
  if (path === "") return "";
  try {
    return readFileSync(path, "utf8");
  } catch (err) {
    throw new CinderblockError("invalid", `-storage.s3.http.tls-ca-path=${path}: ${(err as Error).message}`, {
      cause: err,
    });
  }
}

function s3Of(c: StorageConfig): S3Config {
  if (c.s3Endpoint.includes("://"))
    refuse(
      `-storage.s3.endpoint=${c.s3Endpoint}: give host and port without a scheme; -storage.s3.insecure chooses plain HTTP`,
    );
  if (c.s3SseType === "SSE-KMS" && c.s3SseKey === "")
    refuse("-storage.s3.sse.type=SSE-KMS needs -storage.s3.sse.kms-key-id");
  if (c.s3SseContext !== "") {
    try {
      JSON.parse(c.s3SseContext);
    } catch (err) {
      throw new CinderblockError("invalid", "-storage.s3.sse.kms-encryption-context is not a JSON object", {
        cause: err,
      });
    }
  }
  return {
    bucket: c.s3Bucket,
    endpoint: c.s3Endpoint,
    region: c.s3Region,
    accessKeyId: c.s3AccessKey,
    secretAccessKey: c.s3SecretKey,
    sessionToken: c.s3SessionToken,
    insecure: c.s3Insecure,
    lookup: c.s3PathStyle ? "path" : (c.s3Lookup as "auto"),
    sseType: c.s3SseType as "",
    sseKmsKeyId: c.s3SseKey,
    sseKmsContext: c.s3SseContext,
    maxConnections: c.s3Connections,
    requestTimeoutMs: c.s3Timeout,
    tls: { skipVerify: c.s3SkipVerify, ca: certificates(c.s3Ca) },
    flags: {
      bucket: "-storage.s3.bucket-name",
      credentials: "-storage.s3.access-key-id and -storage.s3.secret-access-key",
    },
  };
}

/** S3 settings of Tencent COS, which speaks S3: a bucket is named `<bucket>-<application ID>`. */
function cosOf(c: StorageConfig): S3Config {
  if (c.cosEndpoint.includes("://"))
    refuse(`-storage.cos.endpoint=${c.cosEndpoint}: give the host without a scheme`);
  if (c.cosEndpoint === "" && c.cosRegion === "")
    refuse("-storage.backend=cos needs -storage.cos.region or -storage.cos.endpoint");
  return {
    ...s3Of({ ...c, s3SseType: "", s3SseContext: "" }),
    bucket: c.cosApp === "" ? c.cosBucket : `${c.cosBucket}-${c.cosApp}`,
    endpoint: c.cosEndpoint === "" ? `cos.${c.cosRegion}.myqcloud.com` : c.cosEndpoint,
    region: c.cosRegion,
    accessKeyId: c.cosSecretId,
    secretAccessKey: c.cosSecretKey,
    lookup: c.cosEndpoint === "" ? "virtual-hosted" : (c.s3Lookup as "auto"),
    flags: {
      bucket: "-storage.cos.bucket and -storage.cos.app-id",
      credentials: "-storage.cos.secret-id and -storage.cos.secret-key",
    },
  };
}
