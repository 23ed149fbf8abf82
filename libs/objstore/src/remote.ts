import { sleep } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";
import type { Bucket, ObjectAttributes } from "./bucket.ts";
import { type Deadline, type Operation, type RequestTimeout, withinDeadline } from "./deadline.ts";

/** Size of an upload's parts; larger objects are uploaded in parts. */
export const PART_BYTES = 16 << 20;
/** Attempts of a request whose server is busy or does not respond. */
export const MAX_ATTEMPTS = 5;

/** Failure of a request, in one form for the clients of all vendors. */
export interface RequestFailure {
  /** HTTP status; undefined without a response */
  status: number | undefined;
  /** error code of the store */
  code: string;
  message: string;
}

/** Names and flags of the backend for error messages that tell an operator how to fix a failure. */
export interface BackendHints {
  bucket: string;
  endpoint: string;
  bucketFlag: string;
  credentialFlags: string;
  timeout: RequestTimeout;
  badCredentials: (f: RequestFailure) => boolean;
}

/** The bucket in error messages: its name, and its endpoint if it has one. */
const placeOf = (advice: BackendHints): string =>
  `bucket ${advice.bucket}${advice.endpoint === "" ? "" : ` at ${advice.endpoint}`}`;

/** Codes of Node and OpenSSL for a certificate that does not pass its check. */
const UNTRUSTED = /(^|_)CERT_|_CERT($|_)|_ISSUER|VERIFY_LEAF|INVALID_CA|HOSTNAME_MISMATCH/;

/** Throws an error that explains a failure and its fix. */
function explain(
  advice: BackendHints,
  name: string,
  f: RequestFailure,
  bucketIsMissing: boolean,
  cause: unknown,
): never {
  const where = placeOf(advice);
  const fail = (message: string): never => {
    throw new CinderblockError("unavailable", message, { cause });
  };
  if (bucketIsMissing) fail(`${where} does not exist: create it, or set ${advice.bucketFlag}`);
  if (advice.badCredentials(f))
    fail(`${where} refuses the credentials (${f.code}): check ${advice.credentialFlags}`);
  if (f.status === 403)
    fail(
      `${where} denies access to ${name}: the identity needs to list the bucket and to get, put and delete objects`,
    );
  if (f.status === 404) throw new CinderblockError("not-found", `object ${name} does not exist`, { cause });
  if (f.status === undefined && UNTRUSTED.test(f.code))
    fail(
      `the certificate of ${where} is not trusted (${f.message.split(";")[0]!}): set its certificate authority (-storage.s3.http.tls-ca-path, or NODE_EXTRA_CA_CERTS for all backends)`,
    );
  if (f.status === 429 || f.status === 503)
    fail(
      `${where} refused ${MAX_ATTEMPTS} attempts (${f.status}${f.code === "" ? "" : ` ${f.code}`}): the object store may limit the request rate`,
    );
  return fail(`${where}: ${f.code === "" ? "" : `${f.code}: `}${f.message}`);
}

/** Retries `work` with growing pauses while `again` accepts the error. */
export async function withRetries<T>(
  attempts: number,
  again: (err: unknown) => boolean,
  work: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (err) {
      if (attempt >= attempts || !again(err)) throw err;
      await sleep(Math.min(10_000, 200 * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2));
    }
  }
}

/** Whether a request with this status, or without a response, may succeed later. */
export const isRetryableStatus = (status: number | undefined): boolean =>
  status === undefined || status === 408 || status === 429 || status >= 500;

/** A bucket behind a network. Errors explain how to fix the failure. */
export abstract class RemoteBucket implements Bucket {
  abstract readonly name: string;
  protected abstract readonly advice: BackendHints;
  protected abstract requestFailureOf(err: unknown): RequestFailure;
  /** whether a failure is about the bucket, not about an object */
  protected abstract bucketIsMissing(f: RequestFailure): boolean | Promise<boolean>;

  /** Runs an operation under its deadline and explains failures. */
  protected run<T>(op: Operation, work: (deadline: Deadline) => Promise<T>): Promise<T> {
    return withinDeadline(op, this.advice.timeout, placeOf(this.advice), async (deadline) => {
      try {
        return await work(deadline);
      } catch (err) {
        if (err instanceof CinderblockError) throw err;
        const fault = this.requestFailureOf(err);
        return explain(this.advice, op.name, fault, await this.bucketIsMissing(fault), err);
      }
    });
  }

  /** Runs a write. A 404 for an existing bucket means a lost upload, because the object need not exist. */
  protected write(op: Operation, work: (deadline: Deadline) => Promise<unknown>): Promise<void> {
    return this.run(op, async (deadline) => {
      try {
        await work(deadline);
      } catch (err) {
        const fault = this.requestFailureOf(err);
        if (fault.status !== 404 || (await this.bucketIsMissing(fault))) throw err;
        throw new CinderblockError(
          "unavailable",
          `bucket ${this.advice.bucket}: upload of ${op.name} failed: ${fault.message}`,
          { cause: err },
        );
      }
    });
  }

  /** Reads a range; a range past the end is empty, as in a file. */
  protected async range(
    name: string,
    size: number,
    read: (deadline: Deadline) => Promise<Uint8Array>,
  ): Promise<Uint8Array> {
    if (size === 0) return new Uint8Array(0);
    return this.run({ operation: "getRange", name }, async (deadline) => {
      try {
        return await read(deadline);
      } catch (err) {
        if (this.requestFailureOf(err).status === 416) return new Uint8Array(0);
        throw err;
      }
    });
  }

  /** Creates an object; false if the store reports that it exists. */
  protected createObject(
    name: string,
    bytes: number,
    create: (deadline: Deadline) => Promise<unknown>,
  ): Promise<boolean> {
    return this.run({ operation: "putIfAbsent", name, bytes }, async (deadline) => {
      try {
        await create(deadline);
        return true;
      } catch (err) {
        const { status } = this.requestFailureOf(err);
        if (status === 412 || status === 409) return false;
        throw err;
      }
    });
  }

  async exists(name: string): Promise<boolean> {
    try {
      await this.attributes(name);
      return true;
    } catch (err) {
      if (err instanceof CinderblockError && err.kind === "not-found") return false;
      throw err;
    }
  }

  abstract get(name: string): Promise<Uint8Array>;
  abstract getRange(name: string, offset: number, size: number): Promise<Uint8Array>;
  abstract put(name: string, bytes: Uint8Array): Promise<void>;
  abstract putIfAbsent(name: string, bytes: Uint8Array): Promise<boolean>;
  abstract putFile(name: string, path: string): Promise<void>;
  abstract attributes(name: string): Promise<ObjectAttributes>;
  abstract delete(name: string): Promise<void>;
  abstract list(prefix: string): Promise<string[]>;
}
