import { sleep } from "@cinderblock/async";
import { CinderblockError, type ErrorRecord, fromErrorRecord, toErrorRecord } from "@cinderblock/errors";
import type { JobResult, QueryJob, TakenJob } from "@cinderblock/query";
import type { InternalClient, InternalMethods } from "@cinderblock/rpc";
import type { Base } from "@cinderblock/telemetry";

/** The scheduler of this process. */
export interface LocalScheduler {
  enqueue(tenant: string, job: QueryJob, deadlineMs: number, signal?: AbortSignal): Promise<JobResult>;
  /** undefined when the scheduler closes, or `signal` aborts */
  next(querierId: string, signal?: AbortSignal): Promise<TakenJob | undefined>;
  /** a querier lives, though it takes nothing now */
  heard(querierId: string): void;
  /** one is no more: another may take its place among a tenant's queriers */
  lost(querierId: string): void;
}

/** A query in a querier's hands. */
interface Running extends TakenJob { querier: string; tries: number }

/** How long a querier waits at a scheduler for a query, and how long one may be silent before its queries go to others. */
const POLL_MS = 5000, SILENT_MS = 3000, BEAT_MS = 700, FORGET_MS = 600_000;
const MAX_TRIES = 3;

/**
 * A scheduler for frontends and queriers in other processes. A querier polls for queries and posts results; while it runs
 * one it says so. One that falls silent loses its queries to others, twice at most; the deadline stays the first.
 */
export function serveScheduler(scheduler: LocalScheduler, base: Base): { methods: InternalMethods; stop: () => void } {
  const running = new Map<number, Running>();
  const again: Running[] = [];
  const heard = new Map<string, number>();
  let nextId = 1;
  const retried = base.metrics.counter("cinderblock_query_scheduler_retried_queries_total", "Queries that went to another querier because the first fell silent.");
  const timer = setInterval(() => {
    const now = performance.now();
    for (const [querier, at] of heard) if (now - at > FORGET_MS) heard.delete(querier);
    for (const [id, r] of running) {
      // A result that never came: whoever asked has gone by then.
      if (Date.now() > r.deadlineMs) { running.delete(id); r.fail(new CinderblockError("deadline", "context deadline exceeded")); continue; }
      if (now - (heard.get(r.querier) ?? -Infinity) < SILENT_MS) continue;
      running.delete(id);
      scheduler.lost(r.querier);
      base.log.warn({ querier: r.querier, tenant: r.tenant, tries: r.tries }, "a querier fell silent, its query goes to another");
      if (r.tries >= MAX_TRIES) r.fail(new CinderblockError("unavailable", `the query was lost with its querier ${r.tries} times, last ${r.querier}`));
      else { retried.inc(); again.push(r); }
    }
  }, 500);
  timer.unref();

  const hand = (r: Running): { id: number; tenant: string; job: QueryJob; deadlineMs: number } => {
    const id = nextId++;
    running.set(id, r);
    // Nobody waits for it any more: its querier hears so with its next sign of life.
    r.signal.addEventListener("abort", () => { if (running.delete(id)) r.fail(new CinderblockError("canceled", "context canceled")); }, { once: true });
    return { id, tenant: r.tenant, job: r.job, deadlineMs: r.deadlineMs };
  };
  return {
    stop: () => clearInterval(timer),
    methods: {
      enqueue: ([tenant, job, deadlineMs]: [string, QueryJob, number], signal: AbortSignal) => scheduler.enqueue(tenant, job, deadlineMs, signal),
      async next([querier]: [string], signal: AbortSignal) {
        heard.set(querier, performance.now());
        const takeLost = (): ReturnType<typeof hand> | null => { let lost = again.shift(); while (lost?.signal.aborted) lost = again.shift(); return lost ? hand({ ...lost, querier, tries: lost.tries + 1 }) : null; };
        const lost = takeLost();
        if (lost) return lost;
        const stop = new AbortController();
        const end = (): void => stop.abort();
        signal.addEventListener("abort", end);
        const wait = setTimeout(end, POLL_MS);
        const beat = setInterval(() => { heard.set(querier, performance.now()); if (again.length > 0) end(); }, 200);
        try {
          const taken = await scheduler.next(querier, stop.signal);
          if (!taken) return signal.aborted ? null : takeLost();
          // The querier went away while its query came: nobody else has it.
          if (signal.aborted) { again.push({ ...taken, querier, tries: 0 }); return null; }
          return hand({ ...taken, querier, tries: 1 });
        } finally { clearTimeout(wait); clearInterval(beat); signal.removeEventListener("abort", end); }
      },
      /** @returns which of a querier's queries nobody waits for any more */
      alive([querier, ids]: [string, number[] | undefined]) {
        heard.set(querier, performance.now());
        scheduler.heard(querier);
        return Promise.resolve((ids ?? []).filter((id) => running.get(id)?.querier !== querier));
      },
      done([id, result, error]: [number, JobResult | null, ErrorRecord | null]) {
        // The first complete answer wins; one that was given up is not waited for.
        const r = running.get(id);
        running.delete(id);
        if (error) r?.fail(fromErrorRecord(error)); else r?.done(result!);
        return Promise.resolve(r !== undefined);
      },
    },
  };
}

/** The schedulers in other processes, for a frontend: one that does not answer is passed over. */
export class RemoteQueue {
  private turn = 0;
  private readonly client: InternalClient;
  private readonly addresses: () => readonly string[];
  constructor(client: InternalClient, addresses: () => readonly string[]) {
    this.client = client;
    this.addresses = addresses;
  }

  async enqueue(tenant: string, job: QueryJob, deadlineMs: number, signal?: AbortSignal): Promise<JobResult> {
    let last: unknown = new CinderblockError("unavailable", "no query-scheduler is known: is one running, in the same ring? (-ring.store, -redis.address)");
    const all = this.addresses();
    const first = this.turn++;
    for (let i = 0; i < all.length; i++) {
      const left = deadlineMs - Date.now();
      if (left <= 0) throw new CinderblockError("deadline", "context deadline exceeded");
      try { return await this.client.call<JobResult>(all[(first + i) % all.length]!, "QueryScheduler", "enqueue", [tenant, job, deadlineMs], { timeoutMs: left + 500, signal }); } catch (err) {
        if (!(err instanceof CinderblockError) || err.kind !== "unavailable") throw err;
        last = err;
      }
    }
    throw last;
  }
}

/** The schedulers in other processes, for a querier. */
export class RemoteJobs {
  private turn = 0;
  private readonly stopped = new AbortController();
  /** scheduler -> its queries that run here */
  private readonly busy = new Map<string, Map<number, AbortController>>();
  private timer: NodeJS.Timeout | undefined;
  private readonly client: InternalClient;
  private readonly addresses: () => readonly string[];
  private readonly base: Base;
  constructor(client: InternalClient, addresses: () => readonly string[], base: Base) {
    this.client = client;
    this.addresses = addresses;
    this.base = base;
  }

  /** The next query of any scheduler; undefined after `stop`. */
  async next(querierId: string): Promise<TakenJob | undefined> {
    this.timer ??= setInterval(() => { this.beat(querierId); }, BEAT_MS);
    const { signal } = this.stopped;
    for (;;) {
      if (signal.aborted) return undefined;
      const all = this.addresses();
      if (all.length === 0) { await sleep(300, signal); continue; }
      const address = all[this.turn++ % all.length]!;
      try {
        const job = await this.client.call<{ id: number; tenant: string; job: QueryJob; deadlineMs: number } | null>(address, "QueryScheduler", "next", [querierId], { timeoutMs: POLL_MS + 5000, signal });
        if (!job) continue;
        const mine = this.busy.get(address) ?? new Map<number, AbortController>(), wanted = new AbortController();
        this.busy.set(address, mine);
        mine.set(job.id, wanted);
        const post = (result: JobResult | null, error: ErrorRecord | null): void => {
          // It lives until the result is there: a large one takes its time.
          this.client.call(address, "QueryScheduler", "done", [job.id, result, error], { timeoutMs: 10_000 })
            .catch((err: unknown) => this.base.log.warn({ err, scheduler: address }, "a result could not be handed in"))
            .finally(() => mine.delete(job.id));
        };
        return { tenant: job.tenant, job: job.job, deadlineMs: job.deadlineMs, signal: wanted.signal, done: (r) => post(r, null), fail: (err) => post(null, toErrorRecord(err)) };
      } catch (err) {
        if (signal.aborted) return undefined;
        this.base.log.debug({ err, scheduler: address }, "scheduler did not answer");
        await sleep(300, signal);
      }
    }
  }

  private beat(querierId: string): void {
    for (const [address, mine] of this.busy) {
      if (mine.size === 0) continue;
      this.client.call<number[] | boolean>(address, "QueryScheduler", "alive", [querierId, [...mine.keys()]], { timeoutMs: BEAT_MS * 2 })
        // A scheduler of the release before says nothing of them.
        .then((gone) => { if (Array.isArray(gone)) for (const id of gone) mine.get(id)?.abort(); })
        .catch(() => { /* the next beat tries again */ });
    }
  }

  stop(): void {
    clearInterval(this.timer);
    this.stopped.abort();
  }
}
