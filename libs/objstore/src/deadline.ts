import { addAbortSignal, type Readable } from "node:stream";
import { CinderblockError } from "@cinderblock/errors";

/** Minimum rate at which a request body in one piece may be sent. */
const SLOWEST_BYTES_PER_MS = (1 << 20) / 1000;
/** Bytes that count as progress: fewer do not extend a deadline, so that a trickle ends as well. */
const PROGRESS_BYTES = 64 << 10;

/** A request timeout and the flag that sets it. */
export interface RequestTimeout {
  ms: number;
  flag: string;
}

/** Maximum milliseconds without a response to a request whose body has this size. */
export const requestTimeoutMs = (timeout: RequestTimeout, bytes: number): number =>
  timeout.ms + Math.ceil(bytes / SLOWEST_BYTES_PER_MS);

/** Key in the detail of an error whose operation exceeded its deadline. */
const TIMED_OUT = "timedOut";
/** Whether an error is the timeout of a bucket request. */
export const isTimeout = (err: unknown): boolean =>
  err instanceof CinderblockError && err.detail[TIMED_OUT] === true;

/**
 * Deadline of one operation, including its body, that progress extends: a slow transfer continues, a stalled
 * one ends (docs/correctness.md, "Every wait has a deadline").
 */
export class Deadline {
  private readonly controller = new AbortController();
  private readonly ms: number;
  private readonly late: () => void;
  private timer: NodeJS.Timeout;
  private unseen = 0;

  constructor(ms: number, late: () => void) {
    this.ms = ms;
    this.late = late;
    this.timer = this.arm();
  }

  private arm(): NodeJS.Timeout {
    return setTimeout(() => {
      this.controller.abort();
      this.late();
    }, this.ms);
  }

  /** Aborts when the deadline has passed, for clients that accept a signal. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Records transferred bytes. */
  recordBytes(bytes: number): void {
    this.unseen += bytes;
    if (this.unseen < PROGRESS_BYTES || this.signal.aborted) return;
    this.unseen = 0;
    clearTimeout(this.timer);
    this.timer = this.arm();
  }

  /** Records a completed step: a page of a list, or a part of an upload. */
  recordStep(): void {
    this.recordBytes(PROGRESS_BYTES);
  }

  cancel(): void {
    clearTimeout(this.timer);
  }
}

/** An operation, for its deadline and for error messages. */
export interface Operation {
  /** `get`, `put` …, as in the methods of `Bucket` */
  operation: string;
  name: string;
  /** size of the largest piece that is sent without reports of progress */
  bytes?: number;
}

/**
 * Runs an operation under a deadline: two request timeouts without progress, so that a lost request has time
 * for one retry. The outcome of an abandoned operation is ignored.
 */
export function withinDeadline<T>(
  op: Operation,
  timeout: RequestTimeout,
  where: string,
  work: (deadline: Deadline) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const ms = 2 * requestTimeoutMs(timeout, op.bytes ?? 0);
    const deadline = new Deadline(ms, () =>
      reject(
        new CinderblockError(
          "unavailable",
          `${where}: ${op.operation} of ${JSON.stringify(op.name)} made no progress for ${ms} ms and was canceled; ${timeout.flag} is ${timeout.ms} ms`,
          { detail: { [TIMED_OUT]: true, operation: op.operation, timeoutMs: ms } },
        ),
      ),
    );
    work(deadline)
      .then(resolve, reject)
      .finally(() => deadline.cancel());
  });
}

/** Reads a complete body. Each chunk extends the deadline. */
export async function readBody(
  stream: AsyncIterable<Uint8Array>,
  moved: (bytes: number) => void,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const p of stream) {
    parts.push(p);
    size += p.length;
    moved(p.length);
  }
  if (parts.length === 1) return parts[0]!;
  const out = new Uint8Array(size);
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** Reads a complete Node stream. Each chunk extends the deadline, and the deadline ends the stream. */
export const readNodeBody = (stream: Readable, deadline: Deadline): Promise<Uint8Array> =>
  readBody(addAbortSignal(deadline.signal, stream), (n) => deadline.recordBytes(n));

/**
 * Runs one attempt of a `fetch` request. Its signal aborts after `ms` milliseconds without a response or a
 * chunk of the body, and when the operation's deadline passes.
 */
export async function fetchAttempt<T>(
  deadline: Deadline,
  ms: number,
  work: (signal: AbortSignal, moved: (bytes: number) => void) => Promise<T>,
): Promise<T> {
  const idle = new AbortController();
  const late = (): void => idle.abort(new DOMException(`no response within ${ms} ms`, "TimeoutError"));
  let timer = setTimeout(late, ms);
  try {
    return await work(AbortSignal.any([deadline.signal, idle.signal]), (bytes) => {
      clearTimeout(timer);
      timer = setTimeout(late, ms);
      deadline.recordBytes(bytes);
    });
  } finally {
    clearTimeout(timer);
  }
}
