import { createReadStream } from "node:fs";
import {
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
import { type Advice, ATTEMPTS, type Fault, PART_BYTES, RemoteBucket } from "./remote.ts";

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
  /** certificate authorities as PEM text; empty: the system's */
  tls: { skipVerify: boolean; ca: string };
  /** what an error tells to check */
  flags: { bucket: string; credentials: string };
}

/** A bucket of Amazon S3 or of a server that speaks its protocol. */
export class S3Bucket extends RemoteBucket {
  readonly name = "s3";
  protected readonly advice: Advice;
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
      maxAttempts: ATTEMPTS,
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
      // Servers that are not Amazon's do not all know the newer checksums; uploads carry them where the protocol asks for one.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: {
        requestTimeout: config.requestTimeoutMs,
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

  protected bucketIsMissing(f: Fault): boolean {
    return f.code === "NoSuchBucket";
  }

  protected faultOf(err: unknown): Fault {
    const { name: code, message, $metadata } = err as Error & { $metadata?: { httpStatusCode?: number } };
    return { status: $metadata?.httpStatusCode, code, message };
  }

  get(name: string): Promise<Uint8Array> {
    return this.run(name, async () =>
      (
        await this.client.send(new GetObjectCommand({ Bucket: this.config.bucket, Key: name }))
      ).Body!.transformToByteArray(),
    );
  }

  getRange(name: string, offset: number, size: number): Promise<Uint8Array> {
    return this.range(name, size, async () =>
      (
        await this.client.send(
          new GetObjectCommand({
            Bucket: this.config.bucket,
            Key: name,
            Range: `bytes=${offset}-${offset + size - 1}`,
          }),
        )
      ).Body!.transformToByteArray(),
    );
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    return this.write(name, () =>
      this.client.send(
        new PutObjectCommand({
          Bucket: this.config.bucket,
          Key: name,
          Body: bytes,
          ContentLength: bytes.length,
          ...this.encryption,
        }),
      ),
    );
  }

  putIfAbsent(name: string, bytes: Uint8Array): Promise<boolean> {
    return this.creation(name, () =>
      this.client.send(
        new PutObjectCommand({
          Bucket: this.config.bucket,
          Key: name,
          Body: bytes,
          ContentLength: bytes.length,
          IfNoneMatch: "*",
          ...this.encryption,
        }),
      ),
    );
  }

  putFile(name: string, path: string): Promise<void> {
    return this.write(name, async () => {
      // A failed upload in parts is aborted: nothing of it stays in the bucket.
      await new Upload({
        client: this.client,
        params: { Bucket: this.config.bucket, Key: name, Body: createReadStream(path), ...this.encryption },
        partSize: PART_BYTES,
        queueSize: 4,
        leavePartsOnError: false,
      }).done();
    });
  }

  attributes(name: string): Promise<ObjectAttributes> {
    return this.run(name, async () => {
      const head = await this.client.send(new HeadObjectCommand({ Bucket: this.config.bucket, Key: name }));
      return { size: head.ContentLength ?? 0, lastModifiedMs: head.LastModified?.getTime() ?? 0 };
    });
  }

  delete(name: string): Promise<void> {
    return this.run(name, async () => {
      await this.client.send(new DeleteObjectCommand({ Bucket: this.config.bucket, Key: name }));
    });
  }

  list(prefix: string): Promise<string[]> {
    return this.run(prefix, async () => {
      const out: string[] = [];
      for (let token: string | undefined; ; ) {
        const page = await this.client.send(
          new ListObjectsV2Command({
            Bucket: this.config.bucket,
            Prefix: prefix,
            Delimiter: "/",
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
        );
        for (const o of page.Contents ?? []) if (o.Key !== undefined && o.Key !== prefix) out.push(o.Key);
        for (const p of page.CommonPrefixes ?? []) if (p.Prefix !== undefined) out.push(p.Prefix);
        if (!page.IsTruncated || page.NextContinuationToken === undefined) return out.sort();
        token = page.NextContinuationToken;
      }
    });
  }
}
