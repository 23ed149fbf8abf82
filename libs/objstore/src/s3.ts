import { createReadStream } from "node:fs";
import { DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, PutObjectCommand, type PutObjectCommandInput, S3Client } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { CinderblockError } from "@cinderblock/errors";
import type { Bucket, ObjectAttributes } from "./bucket.ts";

/** v1's settings of the S3 backend; plain data, so that it travels to worker threads. */
export interface S3Config {
  bucket: string;
  /** host and port without a scheme, as v1 has it; empty: Amazon's own for the region */
  endpoint: string;
  region: string;
  /** empty: the usual chain of environment, profile files, web identity and instance roles */
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
  insecure: boolean;
  /** auto: names in the path for endpoints that are not Amazon's */
  lookup: "auto" | "path" | "virtual-hosted";
  sseType: "" | "SSE-S3" | "SSE-KMS";
  sseKmsKeyId: string;
  /** JSON object */
  sseKmsContext: string;
  maxConnections: number;
  requestTimeoutMs: number;
}

/** Objects above it are uploaded in parts of this size, four at a time. */
const PART_BYTES = 16 << 20;
const ATTEMPTS = 5;

/** A bucket of Amazon S3 or of a server that speaks its protocol. */
export class S3Bucket implements Bucket {
  readonly name = "s3";
  private readonly client: S3Client;
  private readonly config: S3Config;

  constructor(config: S3Config) {
    this.config = config;
    const amazon = config.endpoint === "" || config.endpoint.endsWith(".amazonaws.com");
    this.client = new S3Client({
      region: config.region || "us-east-1", maxAttempts: ATTEMPTS, followRegionRedirects: true,
      ...(config.endpoint === "" ? {} : { endpoint: `${config.insecure ? "http" : "https"}://${config.endpoint}` }),
      forcePathStyle: config.lookup === "path" || (config.lookup === "auto" && !amazon),
      ...(config.accessKeyId === "" ? {} : { credentials: { accessKeyId: config.accessKeyId, secretAccessKey: config.secretAccessKey, ...(config.sessionToken === "" ? {} : { sessionToken: config.sessionToken }) } }),
      // Servers that are not Amazon's do not all know the newer checksums; uploads carry them where the protocol asks for one.
      requestChecksumCalculation: "WHEN_REQUIRED", responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: { requestTimeout: config.requestTimeoutMs, connectionTimeout: 5000, httpAgent: { maxSockets: config.maxConnections }, httpsAgent: { maxSockets: config.maxConnections } },
    });
  }

  private get encryption(): Partial<PutObjectCommandInput> {
    const { sseType, sseKmsKeyId, sseKmsContext } = this.config;
    if (sseType === "SSE-S3") return { ServerSideEncryption: "AES256" };
    if (sseType !== "SSE-KMS") return {};
    return { ServerSideEncryption: "aws:kms", SSEKMSKeyId: sseKmsKeyId, ...(sseKmsContext === "" ? {} : { SSEKMSEncryptionContext: Buffer.from(sseKmsContext).toString("base64") }) };
  }

  /** What went wrong, in words that say what to mend. */
  private translate(name: string, err: unknown): never {
    const { name: code, message, $metadata } = err as Error & { $metadata?: { httpStatusCode?: number } };
    const { bucket, endpoint } = this.config;
    const where = `bucket ${bucket}${endpoint === "" ? "" : ` at ${endpoint}`}`;
    if (code === "NoSuchBucket") throw new CinderblockError("unavailable", `${where} does not exist: create it, or set -storage.s3.bucket-name`, { cause: err });
    if (code === "InvalidAccessKeyId" || code === "SignatureDoesNotMatch") throw new CinderblockError("unavailable", `${where} refuses the credentials (${code}): check -storage.s3.access-key-id and -storage.s3.secret-access-key`, { cause: err });
    if (code === "AccessDenied" || $metadata?.httpStatusCode === 403) throw new CinderblockError("unavailable", `${where} denies access to ${name}: the identity needs to list the bucket and to get, put and delete objects`, { cause: err });
    if (code === "CredentialsProviderError") throw new CinderblockError("unavailable", `no credentials for ${where}: set -storage.s3.access-key-id and -storage.s3.secret-access-key, or a role`, { cause: err });
    if (code === "NoSuchKey" || code === "NotFound" || $metadata?.httpStatusCode === 404) throw new CinderblockError("not-found", `object ${name} does not exist`, { cause: err });
    throw new CinderblockError("unavailable", `${where}: ${code}: ${message}`, { cause: err });
  }

  private async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    try { return await work(); } catch (err) { return this.translate(name, err); }
  }

  get(name: string): Promise<Uint8Array> {
    return this.run(name, async () => (await this.client.send(new GetObjectCommand({ Bucket: this.config.bucket, Key: name }))).Body!.transformToByteArray());
  }

  getRange(name: string, offset: number, size: number): Promise<Uint8Array> {
    if (size === 0) return Promise.resolve(new Uint8Array(0));
    return this.run(name, async () => {
      try {
        return await (await this.client.send(new GetObjectCommand({ Bucket: this.config.bucket, Key: name, Range: `bytes=${offset}-${offset + size - 1}` }))).Body!.transformToByteArray();
      } catch (err) {
        if ((err as Error).name === "InvalidRange") return new Uint8Array(0); // past the end, as a file answers
        throw err;
      }
    });
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    return this.run(name, async () => { await this.client.send(new PutObjectCommand({ Bucket: this.config.bucket, Key: name, Body: bytes, ContentLength: bytes.length, ...this.encryption })); });
  }

  putFile(name: string, path: string): Promise<void> {
    return this.run(name, async () => {
      // A failed upload in parts is aborted: nothing of it stays in the bucket.
      await new Upload({ client: this.client, params: { Bucket: this.config.bucket, Key: name, Body: createReadStream(path), ...this.encryption }, partSize: PART_BYTES, queueSize: 4, leavePartsOnError: false }).done();
    });
  }

  attributes(name: string): Promise<ObjectAttributes> {
    return this.run(name, async () => {
      const head = await this.client.send(new HeadObjectCommand({ Bucket: this.config.bucket, Key: name }));
      return { size: head.ContentLength ?? 0, lastModifiedMs: head.LastModified?.getTime() ?? 0 };
    });
  }

  async exists(name: string): Promise<boolean> {
    try { await this.attributes(name); return true; } catch (err) {
      if (err instanceof CinderblockError && err.kind === "not-found") return false;
      throw err;
    }
  }

  delete(name: string): Promise<void> {
    return this.run(name, async () => { await this.client.send(new DeleteObjectCommand({ Bucket: this.config.bucket, Key: name })); });
  }

  list(prefix: string): Promise<string[]> {
    return this.run(prefix, async () => {
      const out: string[] = [];
      for (let token: string | undefined; ;) {
        const page = await this.client.send(new ListObjectsV2Command({ Bucket: this.config.bucket, Prefix: prefix, Delimiter: "/", ...(token === undefined ? {} : { ContinuationToken: token }) }));
        for (const o of page.Contents ?? []) if (o.Key !== undefined && o.Key !== prefix) out.push(o.Key);
        for (const p of page.CommonPrefixes ?? []) if (p.Prefix !== undefined) out.push(p.Prefix);
        if (!page.IsTruncated || page.NextContinuationToken === undefined) return out.sort();
        token = page.NextContinuationToken;
      }
    });
  }
}
