import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { Semaphore } from "@cinderblock/async";
import type { JobResult, PartialResult, QueryJob, SourceQuery } from "@cinderblock/query";
import type { Limits } from "@cinderblock/tenant";
import type { Base } from "@cinderblock/telemetry";
import type { ResultsCache } from "./results-cache.ts";
import { toQueryRange, type SubQuery, splitQuery } from "./split.ts";

/** Destination of jobs: the scheduler of this process, or one over the network. */
export interface JobQueue {
  enqueue(tenant: string, job: QueryJob, deadlineMs: number, signal?: AbortSignal): Promise<JobResult>;
}

/** End offsets of a log's partitions, and the ID of their topic. */
export interface PartitionEnds {
  topicId: string;
  ends: number[];
}

/** Options of a query's run: deadline, cancellation, and the end offsets that a strong read must cover. */
export interface SubQueryOptions {
  deadlineMs: number;
  signal: AbortSignal | undefined;
  ends: PartitionEnds | undefined;
  warn: (reason: string) => void;
  /** number of sub-queries, and how many of them the cache answered */
  count: { parts: number; kept: number };
}

/** Concurrent sub-queries of a query whose tenant has no limit. */
const PARALLELISM = 32;

/**
 * Runs a query of one tenant as sub-queries by time and by series, within the tenant's limits. Ranges that
 * have ended are looked up in the cache first, under a key with the digest that a querier returns for their
 * data.
 */
export class SubQueries {
  private readonly queue: JobQueue;
  private readonly cache: ResultsCache | undefined;
  private readonly base: Base;
  private readonly parts: { inc(n: number): void };

  constructor(queue: JobQueue, cache: ResultsCache | undefined, base: Base) {
    this.queue = queue;
    this.cache = cache;
    this.base = base;
    this.parts = base.metrics.counter(
      "cinderblock_query_frontend_subqueries_total",
      "Sub-queries run by queriers.",
    );
  }

  async run(
    tenant: string,
    query: SourceQuery,
    limits: Limits,
    run: SubQueryOptions,
  ): Promise<PartialResult[]> {
    const parts = splitQuery(query, limits.splitQueriesByIntervalMs, limits.splitQueriesByShards);
    const whole = new Whole(this.queue, tenant, run);
    run.count.parts += parts.length;
    try {
      const digests = await this.digests(whole, parts, run);
      const slots = new Semaphore(limits.maxQueryParallelism > 0 ? limits.maxQueryParallelism : PARALLELISM);
      // Cached answers are not queried. A sub-query that fails stops the others.
      const answers = await Promise.all(
        parts.map((part, i) =>
          slots.run(() => this.part(whole, tenant, part, digests[i] ?? "", run.count), whole.signal),
        ),
      );
      for (const w of new Set(answers.flatMap((a) => a.warnings))) run.warn(w);
      return answers.flatMap((a, i) => toQueryRange(parts[i]!, a.parts));
    } finally {
      whole.end();
    }
  }

  /**
   * Digests of the sub-queries that the cache may answer; "" for the others. Strong reads bypass the cache.
   */
  private async digests(whole: Whole, parts: readonly SubQuery[], run: SubQueryOptions): Promise<string[]> {
    const { cache } = this;
    if (!cache || run.ends) return [];
    const over = parts.map((p, i) => ({ ...p, i })).filter((p) => cache.isCacheable(p.endMs));
    if (over.length === 0) return [];
    const r = await whole.ask({
      kind: "digests",
      ranges: over.map(({ startMs, endMs }) => ({ startMs, endMs })),
    });
    const out = parts.map(() => "");
    // A querier of the previous release does not know digests: the query then bypasses the cache.
    if ((r as JobResult | null)?.kind === "digests" && "digests" in r)
      over.forEach((p, k) => {
        out[p.i] = r.digests[k]!;
      });
    return out;
  }

  private async part(
    whole: Whole,
    tenant: string,
    part: SubQuery,
    digest: string,
    count: SubQueryOptions["count"],
  ): Promise<{ parts: PartialResult[]; warnings: string[] }> {
    const { cache } = this;
    const known = digest === "" ? undefined : await cache?.get(tenant, part.query, digest);
    if (known) {
      count.kept++;
      return { parts: known, warnings: [] };
    }
    this.parts.inc(1);
    const r = await this.base.tracer.span("query.select", { tenant }, () =>
      whole.ask({ kind: "select", query: part.query }),
    );
    if (r.kind !== "select") return { parts: [], warnings: r.warnings };
    // Encode the parts before they are transferred to the rendering thread.
    if (cache && digest !== "" && (r.digest ?? "") !== "" && r.warnings.length === 0)
      await cache.put(tenant, part.query, r.digest, r.parts);
    return r;
  }
}

/**
 * The jobs of one query. The scheduler groups them by the query's ID, and checks for room at the first job.
 */
class Whole {
  private readonly id = randomUUID();
  private next = 0;
  private readonly stop = new AbortController();
  readonly signal: AbortSignal;
  private readonly queue: JobQueue;
  private readonly tenant: string;
  private readonly run: SubQueryOptions;

  constructor(queue: JobQueue, tenant: string, run: SubQueryOptions) {
    this.queue = queue;
    this.tenant = tenant;
    this.run = run;
    this.signal = run.signal ? AbortSignal.any([run.signal, this.stop.signal]) : this.stop.signal;
    setMaxListeners(0, this.signal); // every sub-query adds a listener to this signal: lift Node's limit
  }

  ask(job: QueryJob): Promise<JobResult> {
    const { ends, deadlineMs } = this.run;
    return this.queue.enqueue(
      this.tenant,
      { ...job, ...ends, of: { query: this.id, part: this.next++ } },
      deadlineMs,
      this.signal,
    );
  }

  /** Cancels the sub-queries that still run. */
  end(): void {
    this.stop.abort();
  }
}
