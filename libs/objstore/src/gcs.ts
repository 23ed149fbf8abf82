import { stat } from "node:fs/promises";
import { type File, IdempotencyStrategy, Storage } from "@google-cloud/storage";
import {
  type AuthClient,
  AwsClient,
  IdentityPoolClient,
  JWT,
  PluggableAuthClient,
  UserRefreshClient,
} from "google-auth-library";
import { CinderblockError } from "@cinderblock/errors";
import type { ObjectAttributes } from "./bucket.ts";
import { fetchAttempt, readBody, type Deadline } from "./deadline.ts";
import {
  type BackendHints,
  MAX_ATTEMPTS,
  type RequestFailure,
  isRetryableStatus,
  PART_BYTES,
  RemoteBucket,
  withRetries,
} from "./remote.ts";

/**
 * v1's settings of the gcs backend, and an endpoint; plain data, so that they can be sent to worker threads.
 */
export interface GcsConfig {
  bucket: string;
  /**
   * JSON key of a service account; "": the application default credentials (GOOGLE_APPLICATION_CREDENTIALS,
   * workload identity, metadata server)
   */
  serviceAccount: string;
  /** address of another server with the JSON API; "": Google's */
  endpoint: string;
  requestTimeoutMs: number;
}

const SCOPE = "https://www.googleapis.com/auth/devstorage.read_write";

interface Identity {
  type?: string;
  client_email?: string;
  private_key?: string;
  client_id?: string;
  client_secret?: string;
  refresh_token?: string;
  credential_source?: { environment_id?: string; executable?: unknown };
}

/**
 * Credentials from Google's JSON for an identity: a service account's key, workload federation, or a person's
 * login.
 */
function credentialsOf(json: string): AuthClient {
  const refuse = (why: string, cause?: unknown): never => {
    throw new CinderblockError(
      "invalid",
      `-storage.gcs.service-account ${why}`,
      cause === undefined ? {} : { cause },
    );
  };
  let id: Identity;
  try {
    id = JSON.parse(json) as Identity;
  } catch (cause) {
    return refuse(
      "is not the JSON of a Google identity: set the content of the key file, not its path",
      cause,
    );
  }
  const scopes = [SCOPE];
  switch (id.type) {
    case "service_account":
      return new JWT({ email: id.client_email!, key: id.private_key!, scopes });
    case "authorized_user":
      return new UserRefreshClient(id.client_id!, id.client_secret!, id.refresh_token!);
    case "external_account": {
      const Client: unknown = id.credential_source?.environment_id?.startsWith("aws")
        ? AwsClient
        : id.credential_source?.executable
          ? PluggableAuthClient
          : IdentityPoolClient;
      return new (Client as new (options: object) => AuthClient)({ ...id, scopes });
    }
    default:
      return refuse(
        `has the unsupported type ${JSON.stringify(id.type ?? "")}; expected service_account, authorized_user or external_account, or a file named by GOOGLE_APPLICATION_CREDENTIALS`,
      );
  }
}

/** A bucket of Google Cloud Storage. */
export class GcsBucket extends RemoteBucket {
  readonly name = "gcs";
  protected readonly advice: BackendHints;
  private readonly config: GcsConfig;
  private readonly storage: Storage;
  /** another server than Google's, without credentials */
  private readonly anonymous: boolean;

  constructor(config: GcsConfig) {
    super();
    this.config = config;
    this.anonymous = config.endpoint !== "" && config.serviceAccount === "";
    this.storage = new Storage({
      ...(config.endpoint === ""
        ? {}
        : { apiEndpoint: config.endpoint, useAuthWithCustomEndpoint: !this.anonymous }),
      ...(config.serviceAccount === "" ? {} : { authClient: credentialsOf(config.serviceAccount) }),
      ...(this.anonymous ? { projectId: "none" } : {}),
      timeout: config.requestTimeoutMs,
      // All operations are idempotent: objects are written atomically, and a missing object counts as
      // deleted.
      retryOptions: {
        autoRetry: true,
        maxRetries: MAX_ATTEMPTS - 1,
        retryDelayMultiplier: 2,
        maxRetryDelay: 10,
        totalTimeout: Math.max(30, config.requestTimeoutMs / 1000),
        idempotencyStrategy: IdempotencyStrategy.RetryAlways,
      },
    });
    this.advice = {
      bucket: config.bucket,
      endpoint: config.endpoint,
      bucketFlag: "-storage.gcs.bucket-name",
      credentialFlags: "-storage.gcs.service-account",
      timeout: { ms: config.requestTimeoutMs, flag: "-storage.gcs.request-timeout" },
      badCredentials: (f) =>
        f.status === 401 ||
        // eslint-disable-next-line seams/no-message-test -- google-auth-library's errors have neither code nor class
        /invalid_grant|invalid_client|Could not load the default credentials|could not refresh access token/i.test(
          `${f.code} ${f.message}`,
        ),
    };
  }

  protected requestFailureOf(err: unknown): RequestFailure {
    const { code, status, message, errors } = err as Error & {
      code?: unknown;
      status?: unknown;
      errors?: { reason?: string }[];
    };
    const http = [code, status].map(Number).find((n) => n >= 100 && n < 600);
    return {
      status: http,
      code:
        errors?.[0]?.reason ?? (typeof code === "string" && http === undefined ? code : String(http ?? "")),
      message,
    };
  }

  private file(name: string): File {
    return this.storage.bucket(this.config.bucket).file(name);
  }

  /**
   * Whether the bucket is missing: GCS answers a missing object and a missing bucket alike, so one more
   * request distinguishes them.
   */
  protected async bucketIsMissing(f: RequestFailure): Promise<boolean> {
    return f.status === 404 && !(await this.storage.bucket(this.config.bucket).exists())[0];
  }

  /**
   * Reads without the client's streams: when these retry, they throw outside of any promise and end the
   * process (teeny-request 10: "Cannot pipe to a closed or destroyed stream"). The token is the client's.
   */
  private async read(deadline: Deadline, name: string, headers: Record<string, string>): Promise<Uint8Array> {
    const { config, storage } = this;
    const url = `${config.endpoint === "" ? "https://storage.googleapis.com" : config.endpoint}/storage/v1/b/${encodeURIComponent(config.bucket)}/o/${encodeURIComponent(name)}?alt=media`;
    return withRetries(
      MAX_ATTEMPTS,
      (err) => !deadline.signal.aborted && isRetryableStatus(this.requestFailureOf(err).status),
      async () => {
        const token = this.anonymous ? undefined : await storage.authClient.getAccessToken();
        return fetchAttempt(deadline, config.requestTimeoutMs, async (signal, moved) => {
          const r = await fetch(url, {
            headers: { ...headers, ...(token ? { authorization: `Bearer ${token}` } : {}) },
            signal,
          });
          if (r.ok) return r.body === null ? new Uint8Array(0) : readBody(r.body, moved);
          throw Object.assign(new Error((await r.text()).slice(0, 200)), { code: r.status });
        });
      },
    );
  }

  get(name: string): Promise<Uint8Array> {
    return this.run({ operation: "get", name }, (deadline) => this.read(deadline, name, {}));
  }
  getRange(name: string, offset: number, size: number): Promise<Uint8Array> {
    return this.range(name, size, (deadline) =>
      this.read(deadline, name, { range: `bytes=${offset}-${offset + size - 1}` }),
    );
  }
  put(name: string, bytes: Uint8Array): Promise<void> {
    return this.write({ operation: "put", name, bytes: bytes.length }, () =>
      this.file(name).save(Buffer.from(bytes), { resumable: false, validation: "crc32c" }),
    );
  }
  putIfAbsent(name: string, bytes: Uint8Array): Promise<boolean> {
    return this.createObject(name, bytes.length, () =>
      this.file(name).save(Buffer.from(bytes), {
        resumable: false,
        validation: "crc32c",
        preconditionOpts: { ifGenerationMatch: 0 },
      }),
    );
  }
  async putFile(name: string, path: string): Promise<void> {
    const bytes = Math.min((await stat(path)).size, PART_BYTES);
    // An object appears when its last part is uploaded; Google removes the parts of an abandoned upload.
    return this.write({ operation: "putFile", name, bytes }, (deadline) => {
      let sent = 0;
      return this.storage.bucket(this.config.bucket).upload(path, {
        destination: name,
        resumable: true,
        chunkSize: PART_BYTES,
        validation: "crc32c",
        onUploadProgress: ({ bytesWritten }: { bytesWritten?: number }) => {
          deadline.recordBytes(Math.max(0, (bytesWritten ?? 0) - sent));
          sent = bytesWritten ?? sent;
        },
      });
    });
  }
  attributes(name: string): Promise<ObjectAttributes> {
    return this.run({ operation: "attributes", name }, async () => {
      const [m] = await this.file(name).getMetadata();
      return { size: Number(m.size ?? 0), lastModifiedMs: Date.parse(m.updated ?? "") || 0 };
    });
  }
  delete(name: string): Promise<void> {
    return this.run({ operation: "delete", name }, async () => {
      await this.file(name).delete({ ignoreNotFound: true });
    });
  }

  list(prefix: string): Promise<string[]> {
    return this.run({ operation: "list", name: prefix }, async (deadline) => {
      const out: string[] = [];
      for (let pageToken: string | undefined; ; ) {
        const [files, next, page] = (await this.storage.bucket(this.config.bucket).getFiles({
          prefix,
          delimiter: "/",
          autoPaginate: false,
          ...(pageToken === undefined ? {} : { pageToken }),
        })) as [File[], { pageToken?: string } | null, { prefixes?: string[] } | undefined];
        deadline.recordStep();
        for (const f of files) if (f.name !== prefix) out.push(f.name);
        out.push(...(page?.prefixes ?? []));
        if (next?.pageToken === undefined) return out.sort();
        pageToken = next.pageToken;
      }
    });
  }
}
