import { fnv1a } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import type { JobResult, QueryJob, AssignedJob } from "@cinderblock/query";
import type { Base } from "@cinderblock/telemetry";

interface Queued extends AssignedJob {
  queuedAt: number;
  /** ends the span of the wait; absent: the job has no trace */
  left?: () => void;
}
interface Waiting {
  querier: string;
  take: (t: AssignedJob | undefined) => void;
}

export interface SchedulerConfig {
  /** maximum waiting queries of a tenant; the sub-queries of a query count once */
  maxOutstanding: number;
  /** queriers that may run a tenant's queries; 0: all */
  maxQueriers: (tenant: string) => number;
  /** how long a querier keeps its place after its last sign of life, in ms */
  querierForgetMs: number;
}

/** Maximum interval between two heartbeats of a waiting querier. */
const HEARD_MS = 15_000;
/**
 * Time for which metrics and the page list the queue of an idle tenant, and the maximum number of listed
 * tenants: clients choose the names of tenants, so their number has no other bound.
 */
const SHOWN_MS = 300_000,
  MAX_TENANTS_SHOWN = 10_000;
const FOREVER = new AbortController().signal;

/**
 * Keeps one queue for each tenant, and serves the queues in turn. A tenant with too many waiting queries gets
 * an error. The first sub-query of a query decides whether there is room; the others are always accepted, so
 * that no query starves itself.
 */
export class QueryScheduler {
  readonly name = "query-scheduler";
  private readonly queues = new Map<string, Queued[]>();
  /** tenant -> monotonic time of its last query: its queue is shown as empty for a while */
  private readonly tenants = new Map<string, number>();
  /** tenants with waiting queries, in the order of their turns */
  private turns: string[] = [];
  private readonly waiting: Waiting[] = [];
  /** querier -> monotonic time of its last sign of life */
  private readonly queriers = new Map<string, number>();
  private closed = false;
  private readonly config: SchedulerConfig;
  private readonly base: Base;

  constructor(config: SchedulerConfig, base: Base) {
    this.config = config;
    this.base = base;
    base.metrics.gauge("pyroscope_query_scheduler_queue_length", "Queries waiting.", ["user"], (g) => {
      const since = performance.now() - SHOWN_MS;
      for (const [t, at] of this.tenants) {
        if (at < since) this.tenants.delete(t);
        else g.set({ user: t }, 0);
      }
      for (const [t, q] of this.queues) g.set({ user: t }, q.length);
    });
    base.metrics.gauge(
      "pyroscope_query_scheduler_connected_querier_clients",
      "Idle querier workers.",
      [],
      (g) => {
        g.set(this.waiting.length);
      },
    );
  }

  start(): Promise<void> {
    this.closed = false;
    return Promise.resolve();
  }

  /** Queues a query or a sub-query; resolves with its result. */
  enqueue(
    tenant: string,
    job: QueryJob,
    deadlineMs: number,
    signal: AbortSignal = FOREVER,
  ): Promise<JobResult> {
    if (this.closed)
      return Promise.reject(new CinderblockError("unavailable", "the query-scheduler is shutting down"));
    const queue = this.queues.get(tenant) ?? [];
    if (this.tenants.size < MAX_TENANTS_SHOWN || this.tenants.has(tenant))
      this.tenants.set(tenant, performance.now());
    const { maxOutstanding } = this.config;
    if ((job.of?.part ?? 0) === 0) {
      const waiting = wholeQueries(queue);
      if (waiting >= maxOutstanding) {
        this.base.metrics
          .counter(
            "pyroscope_query_scheduler_discarded_requests_total",
            "Queries refused because the tenant's queue was full.",
            ["user"],
          )
          .inc({ user: tenant });
        return Promise.reject(
          new CinderblockError(
            "limit",
            `too many outstanding requests: ${waiting} are waiting; the limit is ${maxOutstanding} (-query-scheduler.max-outstanding-requests-per-tenant)`,
            { detail: { waiting, limit: maxOutstanding } },
          ),
        );
      }
    }
    return new Promise((done, fail) => {
      queue.push({
        tenant,
        job,
        deadlineMs,
        queuedAt: performance.now(),
        done,
        fail,
        signal,
        ...this.traceWait(tenant),
      });
      if (!this.queues.has(tenant)) {
        this.queues.set(tenant, queue);
        this.turns.push(tenant);
      }
      this.dispatch();
    });
  }

  /** The trace of the job that is being queued, and the end of its wait; undefined: the job has no trace. */
  private traceWait(tenant: string): Required<Pick<Queued, "trace" | "left">> | undefined {
    const { tracer } = this.base,
      trace = tracer.headers();
    if (!trace) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    void tracer.span("scheduler.wait", { tenant }, () => promise);
    return { trace, left: resolve };
  }

  /** The next query for a querier; undefined when the scheduler closes, or the querier gives up waiting. */
  next(querier: string, signal?: AbortSignal): Promise<AssignedJob | undefined> {
    if (this.closed || signal?.aborted) return Promise.resolve(undefined);
    this.recordHeartbeat(querier);
    return new Promise((resolve) => {
      const w: Waiting = {
        querier,
        take: (t) => {
          signal?.removeEventListener("abort", leave);
          resolve(t);
        },
      };
      const leave = (): void => {
        const at = this.waiting.indexOf(w);
        if (at >= 0) this.waiting.splice(at, 1);
        resolve(undefined);
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.waiting.push(w);
      this.dispatch();
    });
  }

  recordHeartbeat(querier: string): void {
    this.queriers.set(querier, performance.now());
  }
  dropQuerier(querier: string): void {
    this.queriers.delete(querier);
    this.dispatch();
  }

  /** Whether a querier may run a tenant's queries; a tenant keeps its queriers while they live. */
  serves(querier: string, tenant: string): boolean {
    const most = this.config.maxQueriers(tenant);
    if (most <= 0) return true;
    const oldest = performance.now() - Math.max(HEARD_MS, this.config.querierForgetMs);
    for (const [q, at] of this.queriers) if (at < oldest) this.queriers.delete(q);
    if (most >= this.queriers.size) return true;
    const rank = (q: string): number => fnv1a(Buffer.from(`${tenant}/${q}`));
    const mine = rank(querier);
    let before = 0;
    for (const q of this.queriers.keys()) {
      const r = rank(q);
      if (r > mine || (r === mine && q < querier)) before++;
    }
    return before < most;
  }

  private dispatch(): void {
    // Tenants whose queriers are all busy keep their turn and their place in the order.
    for (let k = 0; this.waiting.length > 0 && k < this.turns.length; ) {
      const tenant = this.turns[k]!;
      const at = this.waiting.findIndex((w) => this.serves(w.querier, tenant));
      if (at < 0) {
        k++;
        continue;
      }
      this.turns.splice(k, 1);
      const queue = this.queues.get(tenant)!;
      let item: Queued | undefined;
      // Expired and canceled queries are skipped without costing the tenant its turn.
      while ((item = queue.shift())) {
        item.left?.();
        if (item.signal.aborted) {
          item.fail(new CinderblockError("canceled", "context canceled"));
          continue;
        }
        if (item.deadlineMs <= Date.now()) {
          item.fail(new CinderblockError("deadline", "context deadline exceeded"));
          continue;
        }
        break;
      }
      if (queue.length > 0) this.turns.push(tenant);
      else this.queues.delete(tenant);
      if (!item) continue;
      this.base.metrics
        .histogram(
          "pyroscope_query_scheduler_queue_duration_seconds",
          "Time that queries spent in the queue.",
          [],
          [0.001, 0.01, 0.1, 1, 10],
        )
        .observe((performance.now() - item.queuedAt) / 1000);
      this.waiting.splice(at, 1)[0]!.take(item);
    }
  }

  stop(): Promise<void> {
    this.closed = true;
    for (const q of this.queues.values())
      for (const i of q) {
        i.left?.();
        i.fail(new CinderblockError("unavailable", "the query-scheduler is shutting down"));
      }
    this.queues.clear();
    this.turns = [];
    for (const w of this.waiting.splice(0)) w.take(undefined);
    return Promise.resolve();
  }
}

/** Number of queries in a queue; the sub-queries of a query count once. */
function wholeQueries(queue: readonly Queued[]): number {
  const seen = new Set<string>();
  let alone = 0;
  for (const { job } of queue)
    if (job.of) seen.add(job.of.query);
    else alone++;
  return seen.size + alone;
}
