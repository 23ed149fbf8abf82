import { Periodic, sleep } from "@cinderblock/async";
import { QuerySchedulerService } from "@cinderblock/api";
import { CinderblockError, fromErrorRecord, toErrorRecord } from "@cinderblock/errors";
import type { JobResult, QueryJob, AssignedJob } from "@cinderblock/query";
import type { InternalClient, InternalHandlers } from "@cinderblock/rpc";
import { periodic } from "@cinderblock/service";
import type { Base, TraceHeaders } from "@cinderblock/telemetry";
import { tenantId } from "./checks.ts";
import { fromFailure, toFailure } from "./wire/failure.ts";
import { fromJobResult, fromQueryJob, toJobResult, toQueryJob } from "./wire/jobs.ts";

/** The query scheduler, called within its own process. */
export interface LocalScheduler {
  enqueue(tenant: string, job: QueryJob, deadlineMs: number, signal?: AbortSignal): Promise<JobResult>;
  /** resolves to undefined when the scheduler closes, or `signal` aborts */
  next(querierId: string, signal?: AbortSignal): Promise<AssignedJob | undefined>;
  /** records that a querier is alive, although it takes no query now */
  recordHeartbeat(querierId: string): void;
  /** records that a querier has stopped: another may replace it among a tenant's queriers */
  dropQuerier(querierId: string): void;
}

/** A query as a querier receives it. */
interface HandedJob extends Pick<AssignedJob, "tenant" | "job" | "deadlineMs" | "trace"> {
  id: number;
}

/** A query that a querier has taken. */
interface Running extends AssignedJob {
  querier: string;
  tries: number;
  handedAt: number;
}

/**
 * Durations of the protocol: maximum wait of a poll (long, and short while a querier cannot poll all
 * schedulers), time for a query to reach its querier, silence after which a querier's queries are retried,
 * heartbeat interval, silence after which a querier is forgotten, and time for a frontend to find a
 * scheduler.
 */
const POLL_MS = 5000,
  SHORT_POLL_MS = 300,
  ARRIVED_MS = 2000,
  SILENT_MS = 3000,
  BEAT_MS = 700,
  FORGET_MS = 600_000,
  FIND_MS = 3000;
/** Intervals of the check for silent queriers, and of a poll's check for lost queries. */
const SWEEP_MS = 500,
  LOOK_MS = 200;
const MAX_TRIES = 3;

/**
 * Serves a scheduler to frontends and queriers in other processes. A querier polls for queries, sends
 * heartbeats while it runs them, and posts results. If it stops responding, its queries are retried
 * elsewhere, at most twice, with their original deadline.
 */
export function serveScheduler(
  scheduler: LocalScheduler,
  base: Base,
): {
  handlers: InternalHandlers<typeof QuerySchedulerService>;
  stop: () => void;
  /** resolves when no querier runs a query, or after `ms` milliseconds */
  idle: (ms: number) => Promise<void>;
} {
  const running = new Map<number, Running>();
  const again: Running[] = [];
  const heard = new Map<string, number>();
  let nextId = 1;
  const retried = base.metrics.counter(
    "cinderblock_query_scheduler_retried_queries_total",
    "Queries rescheduled because their querier stopped responding.",
  );
  /** Gives a query to another querier, or fails it after the last try. */
  const retry = (id: number, r: Running): void => {
    running.delete(id);
    if (r.tries >= MAX_TRIES) {
      r.fail(
        new CinderblockError("unavailable", `the query failed with ${r.tries} queriers, last ${r.querier}`),
      );
      return;
    }
    retried.inc();
    again.push(r);
  };
  const sweep = (): void => {
    const now = performance.now();
    for (const [querier, at] of heard) if (now - at > FORGET_MS) heard.delete(querier);
    for (const [id, r] of running) {
      // The result did not arrive in time; the caller has timed out.
      if (Date.now() > r.deadlineMs) {
        running.delete(id);
        r.fail(new CinderblockError("deadline", "context deadline exceeded"));
        continue;
      }
      if (now - (heard.get(r.querier) ?? -Infinity) < SILENT_MS) continue;
      scheduler.dropQuerier(r.querier);
      base.log.warn(
        { querier: r.querier, tenant: r.tenant, tries: r.tries },
        "querier stopped responding, rescheduling its query",
      );
      retry(id, r);
    }
  };
  const loop = periodic(
    { name: "silent-queriers", everyMs: SWEEP_MS, deadlineMs: 10 * SWEEP_MS },
    () => Promise.resolve(sweep()),
    base,
  );
  loop.start();

  /** Retries queries that were given to a querier but that its report lacks: they never arrived there. */
  const missed = (querier: string, ids: readonly number[]): void => {
    const now = performance.now();
    for (const [id, r] of running)
      if (r.querier === querier && now - r.handedAt > ARRIVED_MS && !ids.includes(id)) retry(id, r);
  };

  const hand = (r: Running): HandedJob => {
    const id = nextId++;
    running.set(id, r);
    // No caller waits any more: the querier learns that with its next heartbeat.
    r.signal.addEventListener(
      "abort",
      () => {
        if (running.delete(id)) r.fail(new CinderblockError("canceled", "context canceled"));
      },
      { once: true },
    );
    const { tenant, job, deadlineMs, trace } = r;
    return { id, tenant, job, deadlineMs, ...(trace ? { trace } : {}) };
  };
  /** The next query for a querier: a lost one first, then one of the queue. */
  const take = async (
    querier: string,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<ReturnType<typeof hand> | undefined> => {
    const takeLost = (): ReturnType<typeof hand> | undefined => {
      let lost = again.shift();
      while (lost?.signal.aborted) lost = again.shift();
      return lost && hand({ ...lost, querier, tries: lost.tries + 1, handedAt: performance.now() });
    };
    const lost = takeLost();
    if (lost) return lost;
    const stop = new AbortController();
    const end = (): void => stop.abort();
    signal.addEventListener("abort", end);
    const wait = setTimeout(end, waitMs > 0 ? waitMs : POLL_MS);
    const beat = new Periodic(
      { everyMs: LOOK_MS, deadlineMs: 10 * LOOK_MS, jitter: 0 },
      () => {
        heard.set(querier, performance.now());
        if (again.length > 0) end();
        return Promise.resolve();
      },
      () => undefined,
    );
    beat.start();
    try {
      const taken = await scheduler.next(querier, stop.signal);
      if (!taken) return signal.aborted ? undefined : takeLost();
      // The querier left while its query was taken: retry the query, because no other querier has it.
      if (signal.aborted) {
        again.push({ ...taken, querier, tries: 0, handedAt: 0 });
        return undefined;
      }
      return hand({ ...taken, querier, tries: 1, handedAt: performance.now() });
    } finally {
      clearTimeout(wait);
      void beat.stop(0);
      signal.removeEventListener("abort", end);
    }
  };

  return {
    stop: () => void loop.stop(0),
    async idle(ms) {
      for (const end = Date.now() + ms; running.size > 0 && Date.now() < end; ) await sleep(50);
    },
    handlers: {
      enqueue: async ({ tenant, job, deadlineMs }, signal) => ({
        result: toJobResult(await scheduler.enqueue(tenantId(tenant), fromQueryJob(job), deadlineMs, signal)),
      }),
      next: async ({ querier, running: ids, waitMs }, signal) => {
        heard.set(querier, performance.now());
        missed(querier, ids.map(Number));
        const job = await take(querier, waitMs, signal);
        if (!job) return {};
        const { id, tenant, deadlineMs, trace } = job;
        return {
          job: { id: BigInt(id), tenant, job: toQueryJob(job.job), deadlineMs, ...(trace ? { trace } : {}) },
        };
      },
      heartbeat: ({ querier, running: ids }) => {
        heard.set(querier, performance.now());
        scheduler.recordHeartbeat(querier);
        missed(querier, ids.map(Number));
        return Promise.resolve({
          abandoned: ids.filter((id) => running.get(Number(id))?.querier !== querier),
        });
      },
      done: ({ id, outcome }) => {
        // The first complete answer wins; results of abandoned queries are ignored.
        const r = running.get(Number(id));
        running.delete(Number(id));
        try {
          if (outcome.case === "error") r?.fail(fromErrorRecord(fromFailure(outcome.value)));
          else if (outcome.case === "result") r?.done(fromJobResult(outcome.value));
          else r?.fail(new CinderblockError("invalid", "a querier returned neither a result nor an error"));
        } catch (err) {
          r?.fail(err); // a malformed result
        }
        return Promise.resolve({ wanted: r !== undefined });
      },
    },
  };
}

/** Schedulers in other processes, for a frontend; skips schedulers that do not answer. */
export class RemoteQueue {
  private turn = 0;
  private readonly client: InternalClient;
  private readonly addresses: () => readonly string[];
  constructor(client: InternalClient, addresses: () => readonly string[]) {
    this.client = client;
    this.addresses = addresses;
  }

  async enqueue(tenant: string, job: QueryJob, deadlineMs: number, signal?: AbortSignal): Promise<JobResult> {
    let last: unknown = new CinderblockError(
      "unavailable",
      "no query-scheduler found: check that one runs in the same ring (-ring.store, -redis.address)",
    );
    // A frontend that has just started learns of the schedulers within a second or two.
    for (
      const until = Math.min(deadlineMs, Date.now() + FIND_MS);
      this.addresses().length === 0 && Date.now() < until;
    )
      await sleep(100, signal);
    const all = this.addresses();
    const first = this.turn++;
    for (let i = 0; i < all.length; i++) {
      const left = deadlineMs - Date.now();
      if (left <= 0) throw new CinderblockError("deadline", "context deadline exceeded");
      try {
        const { result } = await this.client
          .of(QuerySchedulerService, all[(first + i) % all.length]!)
          .enqueue(
            { tenant, job: toQueryJob(job), deadlineMs },
            { timeoutMs: left + 500, ...(signal ? { signal } : {}) },
          );
        return fromJobResult(result);
      } catch (err) {
        if (!(err instanceof CinderblockError) || err.kind !== "unavailable") throw err;
        last = err;
      }
    }
    throw last;
  }
}

const fromTrace = ({ traceparent, tracestate }: TraceHeaders): TraceHeaders => ({
  traceparent,
  ...(tracestate ? { tracestate } : {}),
});

type DoneOutcome =
  | { case: "result"; value: ReturnType<typeof toJobResult> }
  | { case: "error"; value: ReturnType<typeof toFailure> };

/** Schedulers in other processes, for a querier. */
export class RemoteJobs {
  /** scheduler -> number of waiting polls */
  private readonly polls = new Map<string, number>();
  private readonly stopped = new AbortController();
  /** scheduler -> queries that this querier took from it and runs */
  private readonly busy = new Map<string, Map<bigint, AbortController>>();
  private loop: Periodic | undefined;
  /** requests in flight that send results to a scheduler */
  private readonly posts = new Set<Promise<unknown>>();
  private readonly client: InternalClient;
  private readonly addresses: () => readonly string[];
  private readonly base: Base;
  constructor(client: InternalClient, addresses: () => readonly string[], base: Base) {
    this.client = client;
    this.addresses = addresses;
    this.base = base;
  }

  /** Takes the next query of any scheduler; undefined after `stop`. */
  async next(querierId: string): Promise<AssignedJob | undefined> {
    if (!this.loop) {
      this.loop = periodic(
        { name: "querier-beat", everyMs: BEAT_MS, deadlineMs: 10 * BEAT_MS },
        () => Promise.resolve(this.beat(querierId)),
        this.base,
      );
      this.loop.start();
    }
    const { signal } = this.stopped;
    for (;;) {
      if (signal.aborted) return undefined;
      const all = this.addresses();
      if (all.length === 0) {
        await sleep(300, signal);
        continue;
      }
      // Keep a poll at every scheduler if there are enough polls; otherwise rotate them with shorter waits.
      const waitingAt = (a: string): number => this.polls.get(a) ?? 0;
      const address = all.reduce((a, b) => (waitingAt(b) < waitingAt(a) ? b : a));
      const waitMs = all.every((a) => a === address || waitingAt(a) > 0) ? POLL_MS : SHORT_POLL_MS;
      this.polls.set(address, waitingAt(address) + 1);
      try {
        const scheduler = this.client.of(QuerySchedulerService, address),
          running = [...(this.busy.get(address)?.keys() ?? [])];
        const { job } = await scheduler.next(
          { querier: querierId, running, waitMs },
          { timeoutMs: POLL_MS + 5000, signal },
        );
        if (!job) continue;
        const mine = this.busy.get(address) ?? new Map<bigint, AbortController>(),
          wanted = new AbortController();
        this.busy.set(address, mine);
        mine.set(job.id, wanted);
        const post = (outcome: DoneOutcome): void => {
          // The query counts as running until its result is posted, because a large result takes time.
          const posted = scheduler
            .done({ id: job.id, outcome }, { timeoutMs: 10_000 })
            .catch((err: unknown) =>
              this.base.log.warn(
                { err, scheduler: address },
                "returning a query result to the scheduler failed",
              ),
            )
            .finally(() => {
              mine.delete(job.id);
              this.posts.delete(posted);
            });
          this.posts.add(posted);
        };
        return {
          tenant: job.tenant,
          job: fromQueryJob(job.job),
          deadlineMs: job.deadlineMs,
          ...(job.trace ? { trace: fromTrace(job.trace) } : {}),
          signal: wanted.signal,
          done: (r) => post({ case: "result", value: toJobResult(r) }),
          fail: (err) => post({ case: "error", value: toFailure(toErrorRecord(err)) }),
        };
      } catch (err) {
        if (signal.aborted) return undefined;
        this.base.log.debug({ err, scheduler: address }, "query-scheduler did not respond");
        await sleep(300, signal);
      } finally {
        this.polls.set(address, this.polls.get(address)! - 1);
      }
    }
  }

  private beat(querierId: string): void {
    for (const [address, mine] of this.busy) {
      if (mine.size === 0) continue;
      this.client
        .of(QuerySchedulerService, address)
        .heartbeat({ querier: querierId, running: [...mine.keys()] }, { timeoutMs: BEAT_MS * 2 })
        .then(({ abandoned }) => {
          for (const id of abandoned) mine.get(id)?.abort();
        })
        .catch(() => {
          /* the next heartbeat tries again */
        });
    }
  }

  /** Stops taking queries. */
  stop(): void {
    this.stopped.abort();
  }

  /** Resolves when the results of all taken queries are posted. */
  async drainResults(): Promise<void> {
    await Promise.all(this.posts);
    void this.loop?.stop(0);
  }
}
