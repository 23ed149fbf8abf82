import { Worker, type ResourceLimits } from "node:worker_threads";
import { Deferred } from "@cinderblock/async";
import { CinderblockError, type ErrorRecord, fromErrorRecord } from "@cinderblock/errors";
import {
  functionsOf,
  type MethodsOf,
  type NoNotices,
  type WorkerCalls,
  type WorkerNotices,
} from "./methods.ts";
import { type ProfileAsk, profileThisThread, type ThreadProfile } from "./profile.ts";
import { type NodeTransferable, Transfer } from "./transfer.ts";

type Message = { id: number; value?: unknown; error?: ErrorRecord } | { notify: string; value: unknown };

/** Start data of a worker: its own data, and the shared counter of processed batches. */
export interface WorkerStart {
  data: unknown;
  taken: Int32Array;
}

/** The running workers of this process. */
const running = new Set<{ profile(ask: ProfileAsk): Promise<ThreadProfile> }>();

/** Profiles all threads of this process at once; a thread that ends in the meantime is left out. */
export async function profileThreads(ask: ProfileAsk): Promise<ThreadProfile[]> {
  const all = await Promise.allSettled([profileThisThread(ask), ...[...running].map((w) => w.profile(ask))]);
  return all.flatMap((r) => (r.status === "fulfilled" ? [r.value] : []));
}

/** Name of the method by which every worker profiles itself. */
export const PROFILE = "@profile";

/**
 * A worker thread behind typed calls: `client.call.push(…)` runs the method `push` of the interface `M` in
 * the thread. When the thread dies, every call in flight fails and `onExit` is called.
 */
export class WorkerClient<M extends MethodsOf<M>, N = NoNotices> {
  /** the worker's methods; each returns a promise of the worker's result */
  readonly call: WorkerCalls<M> = functionsOf<WorkerCalls<M>>((method, args) => this.send(method, args));
  private readonly waiting = new Map<number, Deferred<unknown>>();
  private next = 1;
  private worker: Worker | undefined;
  private readonly name: string;
  private readonly notices: Readonly<Record<string, (value: unknown) => void>>;
  private readonly onExit: (reason: string) => void;
  private state: "open" | "draining" | "ending" = "open";
  private idle: Deferred<void> | undefined;
  private answered = 0;

  /** @param name name of the thread in errors and profiles */
  constructor(name: string, notices: WorkerNotices<N>, onExit: (reason: string) => void) {
    this.name = name;
    this.notices = notices as object as Readonly<Record<string, (value: unknown) => void>>;
    this.onExit = onExit;
  }

  start(url: URL, workerData: unknown, resourceLimits: ResourceLimits): void {
    const { name } = this;
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
          this.notices[m.notify]?.(m.value);
          continue;
        }
        const d = this.waiting.get(m.id);
        this.waiting.delete(m.id);
        this.answered++;
        if (m.error) d?.reject(fromErrorRecord(m.error));
        else d?.resolve(m.value);
      }
      if (this.waiting.size === 0) this.idle?.resolve();
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
      this.idle?.resolve();
      clearTimeout(this.held);
      this.worker = undefined;
      running.delete(this);
      if (this.state !== "ending") this.onExit(reason === "" ? `exit code ${code}` : reason);
    });
  }

  get inFlight(): number {
    return this.waiting.size;
  }

  get isRunning(): boolean {
    return this.worker !== undefined;
  }

  /** Whether the thread has answered any call; a thread that fails at its start has not. */
  get hasAnswered(): boolean {
    return this.answered > 0;
  }

  /** Profiles the thread. */
  profile(ask: ProfileAsk): Promise<ThreadProfile> {
    return this.send(PROFILE, ask) as Promise<ThreadProfile>;
  }

  private send(method: string, args: unknown): Promise<unknown> {
    const { worker } = this;
    if (!worker || this.state !== "open")
      return Promise.reject(
        new CinderblockError("unavailable", `worker ${this.name} is ${worker ? "stopping" : "not running"}`),
      );
    const id = this.next++;
    const d = new Deferred<unknown>();
    this.waiting.set(id, d);
    if (args instanceof Transfer) {
      this.outbox.push({ id, method, args: args.value });
      for (const t of args.list) this.moved.push(t);
    } else this.outbox.push({ id, method, args });
    if (this.outbox.length === 1) setImmediate(() => this.flush());
    return d.promise;
  }

  /** number of batches sent to the worker */
  private sent = 0;
  /** [0] batches whose calls the worker has all started; shared memory, so that reporting costs no message */
  private readonly taken = new Int32Array(new SharedArrayBuffer(4));
  private held: NodeJS.Timeout | undefined;

  private outbox: { id: number; method: string; args: unknown }[] = [];
  private moved: NodeTransferable[] = [];

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

  /**
   * Refuses further calls and waits for the calls in flight.
   * @returns whether all of them were answered before the deadline
   */
  async drain(deadlineMs: number): Promise<boolean> {
    if (this.state === "open") this.state = "draining";
    if (this.waiting.size === 0) return true;
    const { promise } = (this.idle ??= new Deferred<void>());
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs);
    });
    await Promise.race([promise, late]);
    clearTimeout(timer);
    return this.waiting.size === 0;
  }

  /** Ends the thread; calls in flight fail. */
  async stop(): Promise<void> {
    this.state = "ending";
    await this.worker?.terminate();
  }
}
