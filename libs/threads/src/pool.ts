import type { ResourceLimits } from "node:worker_threads";
import type { Base } from "@cinderblock/telemetry";
import { WorkerClient } from "./client.ts";
import type { MethodsOf, NoNotices, WorkerCalls, WorkerNotices } from "./methods.ts";

/** Delay before the restart of a thread that died before its first answer; doubled each time. */
const RESTART_MS = 100,
  MAX_RESTART_MS = 10_000;

/** Threads of a pool, and the reaction to the death of one. */
export type PoolConfig<N> = {
  /** label of the pool's metrics; its threads are named `<name>-<index>` */
  name: string;
  script: URL;
  /** threads that `start` starts; 0 for a pool whose threads each run one job (`inOwnThread`) */
  count: number;
  /** start data of a thread */
  data: (index: number) => unknown;
  resourceLimits?: ResourceLimits;
  /** called when a thread died; absent: the pool restarts the thread */
  onDeath?: (index: number, reason: string) => void;
} & (keyof N extends never
  ? { notices?: undefined }
  : {
      /** receivers of a thread's notices */
      notices: (index: number) => WorkerNotices<N>;
    });

/**
 * Pool of worker threads with the methods `M` and the notices `N`: starts, restarts, drains and counts them.
 * A thread that dies fails its calls in flight; the pool then restarts it, or leaves that to `onDeath`.
 */
export class WorkerPool<M extends MethodsOf<M>, N = NoNotices> {
  private readonly config: PoolConfig<N>;
  private readonly log: Base["log"];
  private readonly restarts: { inc(labels: { pool: string }, n?: number): void };
  private all: WorkerClient<M, N>[] = [];
  private readonly alone = new Set<WorkerClient<M, N>>();
  private readonly restarting = new Set<NodeJS.Timeout>();
  private stopping = false;

  constructor(config: PoolConfig<N>, base: Pick<Base, "log" | "metrics">) {
    this.config = config;
    this.log = base.log;
    const { metrics } = base,
      labels = { pool: config.name };
    this.restarts = metrics.counter(
      "cinderblock_worker_restarts_total",
      "Worker threads that died and were restarted, by pool.",
      ["pool"],
    );
    this.restarts.inc(labels, 0);
    metrics.gauge("cinderblock_worker_threads", "Running worker threads, by pool.", ["pool"], (g) => {
      g.set(labels, this.running().length);
    });
    metrics.gauge(
      "cinderblock_worker_calls_in_flight",
      "Calls that worker threads have not answered yet, by pool.",
      ["pool"],
      (g) => {
        g.set(
          labels,
          this.running().reduce((n, w) => n + w.inFlight, 0),
        );
      },
    );
  }

  /** Starts the threads; calls may follow at once. */
  start(): void {
    for (let i = 0; i < this.config.count; i++) this.all.push(this.begin(i, RESTART_MS));
  }

  /** The pool's threads by index; empty before the start and after the stop. */
  get threads(): readonly WorkerClient<M, N>[] {
    return this.all;
  }

  /** The running thread with the fewest calls in flight. */
  idlest(): WorkerClient<M, N> {
    return this.all.reduce((a, b) => (!a.isRunning || (b.isRunning && b.inFlight < a.inFlight) ? b : a));
  }

  /** Calls every thread. */
  each<T>(work: (call: WorkerCalls<M>) => Promise<T>): Promise<T[]> {
    return Promise.all(this.all.map((w) => work(w.call)));
  }

  /** Runs one job in a thread of its own, whose end frees all memory of the job. */
  async inOwnThread<T>(work: (call: WorkerCalls<M>) => Promise<T>): Promise<T> {
    const { name } = this.config;
    const worker = this.client(name, 0, (reason) => {
      this.log.error({ pool: name, reason }, "worker thread died");
    });
    this.alone.add(worker);
    try {
      if (this.stopping) await worker.stop();
      return await work(worker.call);
    } finally {
      this.alone.delete(worker);
      await worker.stop();
    }
  }

  /**
   * Ends all threads. Refuses further calls, and waits for those in flight, for at most `drainMs`.
   * @param drainMs 0 or absent: calls in flight fail at once
   */
  async stop(drainMs = 0): Promise<void> {
    this.stopping = true;
    for (const timer of this.restarting) clearTimeout(timer);
    const ended = this.running();
    if (drainMs > 0) await Promise.all(ended.map((w) => w.drain(drainMs)));
    await Promise.all(ended.map((w) => w.stop()));
    this.all = [];
  }

  private running(): WorkerClient<M, N>[] {
    return [...this.all, ...this.alone].filter((w) => w.isRunning);
  }

  private begin(index: number, restartMs: number): WorkerClient<M, N> {
    const { name, onDeath } = this.config;
    const worker = this.client(`${name}-${index}`, index, (reason) => {
      if (this.stopping) return;
      if (onDeath) {
        onDeath(index, reason);
        return;
      }
      this.log.error({ pool: name, worker: index, reason }, "worker thread died, restarting it");
      this.restarts.inc({ pool: name });
      if (worker.hasAnswered) this.all[index] = this.begin(index, RESTART_MS);
      else {
        // A thread that fails at its start would otherwise be restarted in a tight loop.
        const timer = setTimeout(() => {
          this.restarting.delete(timer);
          this.all[index] = this.begin(index, Math.min(2 * restartMs, MAX_RESTART_MS));
        }, restartMs);
        this.restarting.add(timer);
      }
    });
    return worker;
  }

  private client(thread: string, index: number, onExit: (reason: string) => void): WorkerClient<M, N> {
    const { config } = this;
    const worker = new WorkerClient<M, N>(
      thread,
      config.notices?.(index) ?? ({} as WorkerNotices<N>),
      onExit,
    );
    worker.start(config.script, config.data(index), config.resourceLimits ?? {});
    return worker;
  }
}
