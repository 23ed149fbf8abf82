import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import type { ObjectAttributes } from "./bucket.ts";
import { readNodeBody, type Deadline, requestTimeoutMs } from "./deadline.ts";
import { type BackendHints, MAX_ATTEMPTS, type RequestFailure, PART_BYTES, RemoteBucket } from "./remote.ts";

/** v1's settings of the S3 backend; plain data, so that they can be sent to worker threads. */
export interface S3Config {
  bucket: string;
  /** host and port without a scheme, as in v1; "": Amazon's endpoint of the region */
  endpoint: string;
  region: string;
  /** "": the default chain of environment, profile files, web identity and instance roles */
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
  insecure: boolean;
  /** auto: bucket names in the path for endpoints other than Amazon's */
  lookup: "auto" | "path" | "virtual-hosted";
  sseType: "" | "SSE-S3" | "SSE-KMS";
  sseKmsKeyId: string;
  /** encryption context of SSE-KMS: a JSON object */
  sseKmsContext: string;
  maxConnections: number;
  requestTimeoutMs: number;
  /** certificate authorities as PEM text; "": the system's */
  tls: { skipVerify: boolean; ca: string };
  /** flags that error messages recommend to check */
  flags: { bucket: string; credentials: string };
}

/** Parts of one upload that are sent concurrently. */
const PARTS_AT_ONCE = 4;

/** A bucket of Amazon S3, or of a server with the same protocol. */
export class S3Bucket extends RemoteBucket {
  readonly name = "s3";
  protected readonly advice: BackendHints;
  private readonly client: S3Client;
  private readonly config: S3Config;

  constructor(config: S3Config) {
    super();
    this.config = config;
    this.advice = {
      bucket: config.bucket,
      endpoint: config.endpoint,
      bucketFlag: config.flags.bucket,
      credentialFlags: config.flags.credentials,
      timeout: { ms: config.requestTimeoutMs, flag: "-storage.s3.request-timeout" },
      badCredentials: (f) =>
        [
          "InvalidAccessKeyId",
          "SignatureDoesNotMatch",
          "InvalidToken",
          "ExpiredToken",
          "CredentialsProviderError",
        ].includes(f.code),
    };
    const amazon = config.endpoint === "" || config.endpoint.endsWith(".amazonaws.com");
    this.client = new S3Client({
      region: config.region || "us-east-1",
      maxAttempts: MAX_ATTEMPTS,
      followRegionRedirects: true,
      ...(config.endpoint === ""
        ? {}
        : { endpoint: `${config.insecure ? "http" : "https"}://${config.endpoint}` }),
      forcePathStyle: config.lookup === "path" || (config.lookup === "auto" && !amazon),
      ...(config.accessKeyId === ""
        ? {}
        : {
            credentials: {
              accessKeyId: config.accessKeyId,
              secretAccessKey: config.secretAccessKey,
              ...(config.sessionToken === "" ? {} : { sessionToken: config.sessionToken }),
            },
          }),
      // Not all other servers support the newer checksums; uploads send them only where the protocol requires
      // one.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: {
        requestTimeout: config.requestTimeoutMs,
        // Without this option, the client only logs a warning at the timeout and keeps waiting.
        throwOnRequestTimeout: true,
        socketTimeout: config.requestTimeoutMs,
        connectionTimeout: 5000,
        httpAgent: { maxSockets: config.maxConnections },
        httpsAgent: {
          maxSockets: config.maxConnections,
          rejectUnauthorized: !config.tls.skipVerify,
          ...(config.tls.ca === "" ? {} : { ca: config.tls.ca }),
        },
      },
    });
  }

  private get encryption(): Partial<PutObjectCommandInput> {
    const { sseType, sseKmsKeyId, sseKmsContext } = this.config;
    if (sseType === "SSE-S3") return { ServerSideEncryption: "AES256" };
    if (sseType !== "SSE-KMS") return {};
    return {
      ServerSideEncryption: "aws:kms",
      SSEKMSKeyId: sseKmsKeyId,
      ...(sseKmsContext === ""
        ? {}
        : { SSEKMSEncryptionContext: Buffer.from(sseKmsContext).toString("base64") }),
    };
  }

  protected bucketIsMissing(f: RequestFailure): boolean {
    return f.code === "NoSuchBucket";
  }

  protected requestFailureOf(err: unknown): RequestFailure {
    const { name, code, message, $metadata } = err as Error & {
      code?: string;
      $metadata?: { httpStatusCode?: number };
    };
    // An error of the connection has a code; an error of the store has its code as the name.
    return { status: $metadata?.httpStatusCode, code: code ?? name, message };
  }

  /** Abort signal and timeout of a request that sends `bytes` bytes. */
  private options(deadline: Deadline, bytes = 0): { abortSignal: AbortSignal; requestTimeout: number } {
    return {
      abortSignal: deadline.signal,
      requestTimeout: requestTimeoutMs(this.advice.timeout, bytes),
    };
  }

  private async read(deadline: Deadline, name: string, range?: string): Promise<Uint8Array> {
    const answer = await this.client.send(
      new GetObjectCommand({
        Bucket: this.config.bucket,
        Key: name,
        ...(range === undefined ? {} : { Range: range }),
      }),
      this.options(deadline),
    );
    return readNodeBody(answer.Body as Readable, deadline);
  }

  get(name: string): Promise<Uint8Array> {
    return this.run({ operation: "get", name }, (deadline) => this.read(deadline, name));
  }

  getRange(name: string, offset: number, size: number): Promise<Uint8Array> {
    return this.range(name, size, (deadline) =>
      this.read(deadline, name, `bytes=${offset}-${offset + size - 1}`),
    );
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    return this.write({ operation: "put", name, bytes: bytes.length }, (deadline) =>
      this.client.send(
        new PutObjectCommand({
          Bucket: this.config.bucket,
          Key: name,
          Body: bytes,
          ContentLength: bytes.length,
          ...this.encryption,
        }),
        this.options(deadline, bytes.length),
      ),
    );
  }

  putIfAbsent(name: string, bytes: Uint8Array): Promise<boolean> {
    return this.createObject(name, bytes.length, (deadline) =>
      this.client.send(
        new PutObjectCommand({
          Bucket: this.config.bucket,
          Key: name,
          Body: bytes,
          ContentLength: bytes.length,
          IfNoneMatch: "*",
          ...this.encryption,
        }),
        this.options(deadline, bytes.length),
      ),
    );
  }

  async putFile(name: string, path: string): Promise<void> {
    // Parts share the connection: up to the bytes of all concurrent parts may be sent before the first
    // response.
    const bytes = Math.min((await stat(path)).size, PARTS_AT_ONCE * PART_BYTES);
    return this.write({ operation: "putFile", name, bytes }, async (deadline) => {
      const body = createReadStream(path);
      // A failed multipart upload is aborted: no part stays in the bucket.
      const upload = new Upload({
        client: this.uploader(deadline, bytes),
        params: { Bucket: this.config.bucket, Key: name, Body: body, ...this.encryption },
        partSize: PART_BYTES,
        queueSize: PARTS_AT_ONCE,
        leavePartsOnError: false,
      });
      try {
        await upload.done();
      } finally {
        body.destroy();
      }
    });
  }

  /** A client for an upload: adds timeouts to its requests and counts each response as progress. */
  private uploader(deadline: Deadline, bytes: number): S3Client {
    const { client } = this,
      requestTimeout = requestTimeoutMs(this.advice.timeout, bytes);
    const send = async (command: Parameters<S3Client["send"]>[0]): Promise<unknown> => {
      // Remove uploaded parts even after the deadline.
      const cleans = command instanceof AbortMultipartUploadCommand;
      const answer = await client.send(command as HeadObjectCommand, {
        requestTimeout,
        ...(cleans ? {} : { abortSignal: deadline.signal }),
      });
      deadline.recordStep();
      return answer;
    };
    return Object.create(client, { send: { value: send } }) as S3Client;
  }

  attributes(name: string): Promise<ObjectAttributes> {
    return this.run({ operation: "attributes", name }, async (deadline) => {
      const head = await this.client.send(
        new HeadObjectCommand({ Bucket: this.config.bucket, Key: name }),
        this.options(deadline),
      );
      return { size: head.ContentLength ?? 0, lastModifiedMs: head.LastModified?.getTime() ?? 0 };
    });
  }

  delete(name: string): Promise<void> {
    return this.run({ operation: "delete", name }, async (deadline) => {
      await this.client.send(
        new DeleteObjectCommand({ Bucket: this.config.bucket, Key: name }),
        this.options(deadline),
      );
    });
  }

  list(prefix: string): Promise<string[]> {
    return this.run({ operation: "list", name: prefix }, async (deadline) => {
      const out: string[] = [];
      for (let token: string | undefined; ; ) {
        const page = await this.client.send(
          new ListObjectsV2Command({
            Bucket: this.config.bucket,
            Prefix: prefix,
            Delimiter: "/",
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
          this.options(deadline),
        );
        deadline.recordStep();
        for (const o of page.Contents ?? []) if (o.Key !== undefined && o.Key !== prefix) out.push(o.Key);
        for (const p of page.CommonPrefixes ?? []) if (p.Prefix !== undefined) out.push(p.Prefix);
        if (!page.IsTruncated || page.NextContinuationToken === undefined) return out.sort();
        token = page.NextContinuationToken;
      }
    });
  }
}
