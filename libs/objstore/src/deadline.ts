import { addAbortSignal, type Readable } from "node:stream";
import { CinderblockError } from "@cinderblock/errors";

/** Slowest rate at which a request body that is sent in one piece is waited for. */
const SLOWEST_BYTES_PER_MS = (1 << 20) / 1000;
/** Bytes that count as progress: fewer do not extend a deadline, so that a trickle ends as well. */
const PROGRESS_BYTES = 64 << 10;

/** A request timeout and the flag that sets it. */
export interface RequestTimeout {
  ms: number;
  flag: string;
}

/** Longest time without an answer to a request that carries a body of this size. */
export const requestTimeoutMs = (timeout: RequestTimeout, bytes: number): number =>
  timeout.ms + Math.ceil(bytes / SLOWEST_BYTES_PER_MS);

/** Marks the error of an operation that met its deadline. */
const TIMED_OUT = "timedOut";
export const isTimeout = (err: unknown): boolean =>
  err instanceof CinderblockError && err.detail[TIMED_OUT] === true;

/**
 * A time limit of one operation, body included, that progress extends: a slow transfer goes on, a silent one ends
 * (docs/correctness.md, "Every wait has a deadline").
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

  /** Aborted when the deadline has passed: for clients that take a signal. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Takes note of bytes that were transferred. */
  moved(bytes: number): void {
    this.unseen += bytes;
    if (this.unseen < PROGRESS_BYTES || this.signal.aborted) return;
    this.unseen = 0;
    clearTimeout(this.timer);
    this.timer = this.arm();
  }

  /** Takes note of a step that was answered: a page of a list, a part of an upload. */
  step(): void {
    this.moved(PROGRESS_BYTES);
  }

  end(): void {
    clearTimeout(this.timer);
  }
}

/** An operation as its deadline and the error that names it need it. */
export interface Operation {
  /** `get`, `put` …, as the bucket's methods are called */
  operation: string;
  name: string;
  /** size of the largest piece that is sent without news of its progress */
  bytes?: number;
}

/**
 * Runs an operation under a deadline: two request timeouts without progress, so that a request that was lost is tried once
 * more. The outcome of an abandoned operation is ignored.
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
          `${where}: ${op.operation} of ${JSON.stringify(op.name)} made no progress for ${ms} ms and was given up; ${timeout.flag} is ${timeout.ms} ms`,
          { detail: { [TIMED_OUT]: true, operation: op.operation, timeoutMs: ms } },
        ),
      ),
    );
    work(deadline)
      .then(resolve, reject)
      .finally(() => deadline.end());
  });
}

/** Reads a body whole; each chunk extends the deadline, and the deadline ends the stream. */
export async function collect(
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

/** Reads a stream of Node's whole. */
export const collectNode = (stream: Readable, deadline: Deadline): Promise<Uint8Array> =>
  collect(addAbortSignal(deadline.signal, stream), (n) => deadline.moved(n));

/**
 * Runs one attempt of a request by `fetch`: its signal is aborted after `ms` without an answer or a chunk of its body, and
 * with the deadline of the operation.
 */
export async function attempt<T>(
  deadline: Deadline,
  ms: number,
  work: (signal: AbortSignal, moved: (bytes: number) => void) => Promise<T>,
): Promise<T> {
  const idle = new AbortController();
  const late = (): void => idle.abort(new DOMException(`no answer within ${ms} ms`, "TimeoutError"));
  let timer = setTimeout(late, ms);
  try {
    return await work(AbortSignal.any([deadline.signal, idle.signal]), (bytes) => {
      clearTimeout(timer);
      timer = setTimeout(late, ms);
      deadline.moved(bytes);
    });
  } finally {
    clearTimeout(timer);
  }
}
