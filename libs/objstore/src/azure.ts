import { ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential } from "@azure/identity";
import { stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import {
  BlobServiceClient,
  type BlockBlobClient,
  type ContainerClient,
  StorageSharedKeyCredential,
  type StoragePipelineOptions,
} from "@azure/storage-blob";
import type { ObjectAttributes } from "./bucket.ts";
import { readNodeBody, type Deadline } from "./deadline.ts";
import { type BackendHints, MAX_ATTEMPTS, type RequestFailure, PART_BYTES, RemoteBucket } from "./remote.ts";

/** v1's settings of the azure backend; plain data, so that they can be sent to worker threads. */
export interface AzureConfig {
  container: string;
  account: string;
  /**
   * "": a client secret, a managed identity, or the default chain of environment, workload identity and
   * managed identity
   */
  accountKey: string;
  /** all settings in one string; takes precedence over the others */
  connectionString: string;
  /** host after the account's name; "": blob.core.windows.net */
  endpointSuffix: string;
  /** client ID of a user-assigned managed identity */
  userAssignedId: string;
  tenantId: string;
  clientId: string;
  clientSecret: string;
  maxRetries: number;
  requestTimeoutMs: number;
}

/** A container of Azure Blob Storage. */
export class AzureBucket extends RemoteBucket {
  readonly name = "azure";
  protected readonly advice: BackendHints;
  private readonly container: ContainerClient;

  constructor(c: AzureConfig) {
    super();
    const options: StoragePipelineOptions = {
      retryOptions: {
        maxTries: c.maxRetries > 0 ? c.maxRetries + 1 : MAX_ATTEMPTS,
        tryTimeoutInMs: c.requestTimeoutMs,
        retryDelayInMs: 200,
        maxRetryDelayInMs: 10_000,
      },
    };
    const url = `https://${c.account}.${c.endpointSuffix === "" ? "blob.core.windows.net" : c.endpointSuffix}`;
    const credential = ():
      | StorageSharedKeyCredential
      | ClientSecretCredential
      | ManagedIdentityCredential
      | DefaultAzureCredential => {
      if (c.accountKey !== "") return new StorageSharedKeyCredential(c.account, c.accountKey);
      if (c.clientSecret !== "") return new ClientSecretCredential(c.tenantId, c.clientId, c.clientSecret);
      if (c.userAssignedId !== "") return new ManagedIdentityCredential({ clientId: c.userAssignedId });
      return new DefaultAzureCredential();
    };
    const service =
      c.connectionString === ""
        ? new BlobServiceClient(url, credential(), options)
        : BlobServiceClient.fromConnectionString(c.connectionString, options);
    this.container = service.getContainerClient(c.container);
    this.advice = {
      bucket: c.container,
      endpoint: new URL(service.url).host,
      bucketFlag: "-storage.azure.container-name",
      credentialFlags:
        c.connectionString === ""
          ? "-storage.azure.account-name and -storage.azure.account-key"
          : "-storage.azure.connection-string",
      timeout: { ms: c.requestTimeoutMs, flag: "-storage.azure.request-timeout" },
      badCredentials: (f) =>
        f.status === 401 ||
        f.code === "AuthenticationFailed" ||
        f.code === "AuthorizationFailure" ||
        f.code === "CredentialUnavailableError" ||
        f.code === "AuthenticationRequiredError",
    };
  }

  protected bucketIsMissing(f: RequestFailure): boolean {
    return f.code === "ContainerNotFound";
  }

  protected requestFailureOf(err: unknown): RequestFailure {
    const { statusCode, code, name, message, response } = err as Error & {
      statusCode?: number;
      code?: string;
      response?: { headers?: { get(n: string): string | undefined } };
    };
    // A response to HEAD has no body: the error code is in a header.
    return {
      status: statusCode,
      code:
        code ??
        response?.headers?.get("x-ms-error-code") ??
        (name === "RestError" || name === "Error" ? "" : name),
      message: message.split("\n")[0]!,
    };
  }

  private blob(name: string): BlockBlobClient {
    return this.container.getBlockBlobClient(name);
  }
  private async read(deadline: Deadline, name: string, offset?: number, size?: number): Promise<Uint8Array> {
    // A broken response resumes at the point where it broke.
    const answer = await this.blob(name).download(offset, size, {
      maxRetryRequests: MAX_ATTEMPTS,
      abortSignal: deadline.signal,
    });
    return readNodeBody(answer.readableStreamBody as Readable, deadline);
  }

  get(name: string): Promise<Uint8Array> {
    return this.run({ operation: "get", name }, (deadline) => this.read(deadline, name));
  }
  getRange(name: string, offset: number, size: number): Promise<Uint8Array> {
    return this.range(name, size, (deadline) => this.read(deadline, name, offset, size));
  }
  put(name: string, bytes: Uint8Array): Promise<void> {
    return this.write({ operation: "put", name, bytes: bytes.length }, ({ signal }) =>
      this.blob(name).upload(bytes, bytes.length, { abortSignal: signal }),
    );
  }
  putIfAbsent(name: string, bytes: Uint8Array): Promise<boolean> {
    return this.createObject(name, bytes.length, ({ signal }) =>
      this.blob(name).upload(bytes, bytes.length, {
        conditions: { ifNoneMatch: "*" },
        abortSignal: signal,
      }),
    );
  }
  async putFile(name: string, path: string): Promise<void> {
    const bytes = Math.min((await stat(path)).size, 4 * PART_BYTES);
    // The blob appears when its block list is written; Azure removes blocks that were never listed.
    return this.write({ operation: "putFile", name, bytes }, (deadline) => {
      let sent = 0;
      return this.blob(name).uploadFile(path, {
        blockSize: PART_BYTES,
        maxSingleShotSize: PART_BYTES,
        concurrency: 4,
        abortSignal: deadline.signal,
        onProgress: ({ loadedBytes }) => {
          deadline.recordBytes(Math.max(0, loadedBytes - sent));
          sent = loadedBytes;
        },
      });
    });
  }
  attributes(name: string): Promise<ObjectAttributes> {
    return this.run({ operation: "attributes", name }, async ({ signal }) => {
      const p = await this.blob(name).getProperties({ abortSignal: signal });
      return { size: p.contentLength ?? 0, lastModifiedMs: p.lastModified?.getTime() ?? 0 };
    });
  }
  delete(name: string): Promise<void> {
    return this.run({ operation: "delete", name }, async ({ signal }) => {
      await this.blob(name).deleteIfExists({ abortSignal: signal });
    });
  }

  list(prefix: string): Promise<string[]> {
    return this.run({ operation: "list", name: prefix }, async (deadline) => {
      const out: string[] = [];
      for await (const item of this.container.listBlobsByHierarchy("/", {
        prefix,
        abortSignal: deadline.signal,
      })) {
        deadline.recordBytes(item.name.length);
        if (item.name !== prefix) out.push(item.name);
      }
      return out.sort();
    });
  }
}
