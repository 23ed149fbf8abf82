import { Worker, type ResourceLimits } from "node:worker_threads";
import { Deferred } from "@cinderblock/async";
import { CinderblockError, type ErrorRecord, fromErrorRecord } from "@cinderblock/errors";
import { type ProfileAsk, profileThisThread, type ThreadProfile } from "./profile.ts";

type Message = { id: number; value?: unknown; error?: ErrorRecord } | { notify: string; value: unknown };

/** Start data of a worker: its own data, and the shared counter of processed batches. */
export interface WorkerStart {
  data: unknown;
  taken: Int32Array;
}

/** The running workers of this process. */
const running = new Set<WorkerClient>();

/** Profiles all threads of this process at once; a thread that ends in the meantime is left out. */
export async function profileThreads(ask: ProfileAsk): Promise<ThreadProfile[]> {
  const all = await Promise.allSettled([
    profileThisThread(ask),
    ...[...running].map((w) => w.call<ThreadProfile>(PROFILE, ask)),
  ]);
  return all.flatMap((r) => (r.status === "fulfilled" ? [r.value] : []));
}

/** Name of the method by which every worker profiles itself. */
export const PROFILE = "@profile";

/**
 * A worker thread behind typed calls. When the thread dies, every call in flight fails and `onExit` is
 * called.
 */
export class WorkerClient {
  private readonly waiting = new Map<number, Deferred<unknown>>();
  private next = 1;
  private worker: Worker | undefined;
  private readonly onNotify: (name: string, value: unknown) => void;
  private readonly onExit: (reason: string) => void;
  private ending = false;

  constructor(onNotify: (name: string, value: unknown) => void, onExit: (reason: string) => void) {
    this.onNotify = onNotify;
    this.onExit = onExit;
  }

  start(url: URL, workerData: unknown, name: string, resourceLimits: ResourceLimits): void {
    const worker = new Worker(url, {
      workerData: { data: workerData, taken: this.taken } satisfies WorkerStart,
      name,
      resourceLimits,
    });
    this.worker = worker;
    running.add(this);
    let reason = "";
    worker.on("message", (batch: Message[]) => {
      for (const m of batch) {
        if ("notify" in m) {
          this.onNotify(m.notify, m.value);
          continue;
        }
        const d = this.waiting.get(m.id);
        this.waiting.delete(m.id);
        if (m.error) d?.reject(fromErrorRecord(m.error));
        else d?.resolve(m.value);
      }
      if (this.held) this.flush();
    });
    worker.on("error", (err) => {
      reason = err.stack ?? err.message;
    });
    worker.on("exit", (code) => {
      for (const d of this.waiting.values())
        d.reject(
          new CinderblockError(
            "unavailable",
            `worker ${name} ended${reason === "" ? "" : `: ${reason.split("\n")[0]}`}`,
          ),
        );
      this.waiting.clear();
      this.worker = undefined;
      running.delete(this);
      if (!this.ending) this.onExit(reason === "" ? `exit code ${code}` : reason);
    });
  }

  get inFlight(): number {
    return this.waiting.size;
  }

  call<T>(method: string, args: unknown, transfer: readonly ArrayBuffer[] = []): Promise<T> {
    const { worker } = this;
    if (!worker) return Promise.reject(new CinderblockError("unavailable", "worker is not running"));
    const id = this.next++;
    const d = new Deferred<unknown>();
    this.waiting.set(id, d);
    this.outbox.push({ id, method, args });
    for (const t of transfer) this.moved.push(t);
    if (this.outbox.length === 1) setImmediate(() => this.flush());
    return d.promise as Promise<T>;
  }

  /** number of batches sent to the worker */
  private sent = 0;
  /** [0] batches whose calls the worker has all started; shared memory, so that reporting costs no message */
  private readonly taken = new Int32Array(new SharedArrayBuffer(4));
  private held: NodeJS.Timeout | undefined;

  private outbox: { id: number; method: string; args: unknown }[] = [];
  private moved: ArrayBuffer[] = [];

  /**
   * Sends the calls of one event-loop turn as one message. While a worker is busy with two batches, further
   * calls accumulate, because waking a thread costs more than most calls. An answer, or a millisecond,
   * triggers the next check.
   */
  private flush(): void {
    const { outbox, moved } = this;
    if (outbox.length === 0) return;
    if (((this.sent - Atomics.load(this.taken, 0)) | 0) >= 2) {
      this.held ??= setTimeout(() => {
        this.held = undefined;
        this.flush();
      }, 1);
      return;
    }
    this.sent = (this.sent + 1) | 0;
    this.outbox = [];
    this.moved = [];
    this.worker?.postMessage(outbox, moved);
  }

  async stop(): Promise<void> {
    this.ending = true;
    await this.worker?.terminate();
  }
}
