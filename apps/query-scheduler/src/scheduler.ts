import { CinderblockError } from "@cinderblock/errors";
import type { JobResult, QueryJob, TakenJob } from "@cinderblock/query";
import type { Base } from "@cinderblock/telemetry";

interface Queued extends TakenJob { queuedAt: number; signal: AbortSignal | undefined }

/** One queue per tenant, served round-robin; a tenant with too many waiting queries is told so. */
export class QueryScheduler {
  readonly name = "query-scheduler";
  private readonly queues = new Map<string, Queued[]>();
  /** tenants with waiting queries, in the order of their turns */
  private turns: string[] = [];
  private readonly waiting: ((t: TakenJob | undefined) => void)[] = [];
  private closed = false;
  private readonly maxOutstanding: number;
  private readonly base: Base;

  constructor(maxOutstanding: number, base: Base) {
    this.maxOutstanding = maxOutstanding;
    this.base = base;
    base.metrics.gauge("pyroscope_query_scheduler_queue_length", "Queries waiting.", ["user"], (g) => { g.reset(); for (const [t, q] of this.queues) g.set({ user: t }, q.length); });
    base.metrics.gauge("pyroscope_query_scheduler_connected_querier_clients", "Querier workers waiting for a query.", [], (g) => { g.set(this.waiting.length); });
  }

  start(): Promise<void> { this.closed = false; return Promise.resolve(); }

  /** Queues a query and resolves with its result. */
  enqueue(tenant: string, job: QueryJob, deadlineMs: number, signal?: AbortSignal): Promise<JobResult> {
    if (this.closed) return Promise.reject(new CinderblockError("unavailable", "the query-scheduler is shutting down"));
    const queue = this.queues.get(tenant) ?? [];
    if (queue.length >= this.maxOutstanding) {
      this.base.metrics.counter("pyroscope_query_scheduler_discarded_requests_total", "Queries refused because their tenant's queue was full.", ["user"]).inc({ user: tenant });
      return Promise.reject(new CinderblockError("limit", `too many outstanding requests: ${queue.length} are waiting; the limit is ${this.maxOutstanding} (-query-scheduler.max-outstanding-requests-per-tenant)`));
    }
    return new Promise((done, fail) => {
      queue.push({ tenant, job, deadlineMs, queuedAt: performance.now(), done, fail, signal });
      if (!this.queues.has(tenant)) { this.queues.set(tenant, queue); this.turns.push(tenant); }
      this.dispatch();
    });
  }

  /** The next query for a querier; undefined when the scheduler closes, or the querier gives up waiting. */
  next(_querierId: string, signal?: AbortSignal): Promise<TakenJob | undefined> {
    if (this.closed || signal?.aborted) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const settle = (t: TakenJob | undefined): void => { signal?.removeEventListener("abort", leave); resolve(t); };
      const leave = (): void => {
        const at = this.waiting.indexOf(settle);
        if (at >= 0) this.waiting.splice(at, 1);
        resolve(undefined);
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.waiting.push(settle);
      this.dispatch();
    });
  }

  private dispatch(): void {
    while (this.waiting.length > 0 && this.turns.length > 0) {
      const tenant = this.turns.shift()!;
      const queue = this.queues.get(tenant)!;
      let item: Queued | undefined;
      // Expired and cancelled queries are skipped without costing the tenant its turn.
      while ((item = queue.shift())) {
        if (item.signal?.aborted) { item.fail(new CinderblockError("canceled", "context canceled")); continue; }
        if (item.deadlineMs <= Date.now()) { item.fail(new CinderblockError("deadline", "context deadline exceeded")); continue; }
        break;
      }
      if (queue.length > 0) this.turns.push(tenant); else this.queues.delete(tenant);
      if (!item) continue;
      this.base.metrics.histogram("pyroscope_query_scheduler_queue_duration_seconds", "Time a query waited.", [], [0.001, 0.01, 0.1, 1, 10]).observe((performance.now() - item.queuedAt) / 1000);
      this.waiting.shift()!(item);
    }
  }

  stop(): Promise<void> {
    this.closed = true;
    for (const q of this.queues.values()) for (const i of q) i.fail(new CinderblockError("unavailable", "the query-scheduler is shutting down"));
    this.queues.clear();
    this.turns = [];
    for (const w of this.waiting.splice(0)) w(undefined);
    return Promise.resolve();
  }
}
