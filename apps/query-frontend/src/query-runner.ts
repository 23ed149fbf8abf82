import { withDeadline } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";
import type { JobResult, PartialResult, QueryJob, SelectRequest, SourceQuery } from "@cinderblock/query";
import type { ExportCall, RenderAnswer, RenderCall } from "@cinderblock/query-worker";
import { type Limits, combineReadLimits, type TenantLimits } from "@cinderblock/tenant";
import type { Base } from "@cinderblock/telemetry";
import { selectRange, type TimeRange } from "./limits.ts";
import { QueryBounds } from "./query-bounds.ts";
import type { ProfileSelection, RequestContext, RequestedRange, SampleIds } from "./request.ts";
import type { ResultsCache } from "./results-cache.ts";
import type { SlowQueries } from "./slow-queries.ts";
import { type JobQueue, type PartitionEnds, SubQueries, type SubQueryOptions } from "./sub-queries.ts";

/** Merges and renders results in worker threads. */
interface Renderer {
  render(call: RenderCall, signal?: AbortSignal): Promise<RenderAnswer>;
  export(call: ExportCall, signal?: AbortSignal): Promise<{ bytes: Uint8Array; rows: number }>;
}

export interface QueryRunnerOptions {
  queue: JobQueue;
  renderer: Renderer;
  limits: TenantLimits;
  /** undefined: no results are cached */
  cache: ResultsCache | undefined;
  /** returns the end offsets of the partitioned log; undefined: no log between writers and readers */
  ends: (() => Promise<PartitionEnds>) | undefined;
  slow: SlowQueries;
}

/**
 * The common way of all queries: limits and bounds, jobs for each tenant, the record of slow queries, and
 * rendering in worker threads.
 */
export class QueryRunner {
  private readonly options: QueryRunnerOptions;
  private readonly base: Base;
  private readonly subQueries: SubQueries;
  private inProgress = 0;

  constructor(options: QueryRunnerOptions, base: Base) {
    this.options = options;
    this.base = base;
    this.subQueries = new SubQueries(options.queue, options.cache, base);
    base.metrics.gauge("pyroscope_query_frontend_queries_in_progress", "Queries in progress.", [], (g) => {
      g.set(this.inProgress);
    });
  }

  /** The current time in milliseconds. */
  now(): number {
    return this.base.now();
  }

  /** The strictest of each limit, over all tenants that the caller reads. */
  limits(caller: RequestContext): Limits {
    const [first, ...others] = caller.tenants.map((t) => this.options.limits.forTenant(t));
    return others.length === 0 ? first! : combineReadLimits([first!, ...others]);
  }

  /** The bounds of the text of a caller's query. */
  bounds(caller: RequestContext): QueryBounds {
    return new QueryBounds(caller.tenants.map((t) => this.options.limits.forTenant(t)));
  }

  /** The range of a select call within the caller's limits; undefined: all of it is too old. */
  range(caller: RequestContext, { startMs, endMs }: RequestedRange): TimeRange | undefined {
    return selectRange(startMs, endMs, this.limits(caller), this.base.now());
  }

  /** Results of a job that runs once for each tenant. */
  async resultsPerTenant(caller: RequestContext, job: QueryJob): Promise<JobResult[]> {
    const bounds = this.bounds(caller);
    if (job.kind === "labels") bounds.checkLabelRequest(job.ask);
    return this.watch(caller, job, async ({ ends, warn, count, deadlineMs, signal }) => {
      count.parts = 1;
      const complete = { ...job, ...ends };
      const results = await Promise.all(
        caller.tenants.map((tenant) =>
          this.base.tracer.span(`query.${job.kind}`, { tenant }, () =>
            this.options.queue.enqueue(tenant, complete, deadlineMs, signal),
          ),
        ),
      );
      for (const r of results) for (const w of r.warnings) warn(w);
      return results;
    });
  }

  /** Partial results of a query, over all tenants and sub-queries. */
  async partialResults(caller: RequestContext, query: SourceQuery): Promise<PartialResult[]> {
    this.bounds(caller).checkQuery(query);
    return this.watch(caller, query, async (options) => {
      const results = await Promise.all(
        caller.tenants.map((t) => this.subQueries.run(t, query, this.options.limits.forTenant(t), options)),
      );
      return results.flat();
    });
  }

  /**
   * Partial results of the profiles of a selection; none if its range is too old, or if `toQuery` returns no
   * query. An invalid selection fails in each case.
   */
  async select(
    caller: RequestContext,
    selection: ProfileSelection,
    toQuery: (select: SelectRequest) => SourceQuery | undefined,
  ): Promise<PartialResult[]> {
    const range = this.range(caller, selection);
    const query = range && toQuery(selectRequest(selection, range));
    if (query) return this.partialResults(caller, query);
    this.bounds(caller).checkSelection(selection);
    return [];
  }

  /** Merges and renders partial results in a worker thread. */
  render(caller: RequestContext, call: RenderCall): Promise<RenderAnswer> {
    return this.base.tracer.span("query.render", { kind: call.kind }, () =>
      this.options.renderer.render(call, caller.signal),
    );
  }

  /** Merges and renders partial results to bytes. */
  async renderBytes(caller: RequestContext, call: RenderCall): Promise<Uint8Array> {
    const answer = await this.render(caller, call);
    if (!("bytes" in answer)) throw new CinderblockError("internal", "the renderer returned no bytes");
    return answer.bytes;
  }

  /** Writes one piece of an export in a worker thread. */
  export(caller: RequestContext, call: ExportCall): Promise<{ bytes: Uint8Array; rows: number }> {
    return this.options.renderer.export(call, caller.signal);
  }

  /** Runs a query as one of those in progress, and records its duration, warnings and error. */
  private async watch<T>(
    caller: RequestContext,
    query: SourceQuery | QueryJob,
    work: (options: SubQueryOptions) => Promise<T>,
  ): Promise<T> {
    this.inProgress++;
    try {
      const { deadlineMs, signal } = caller,
        ends = await this.endsFor(caller),
        warnings: string[] = [],
        count = { parts: 0, kept: 0 };
      const warn = (reason: string): void => {
        warnings.push(reason);
        caller.warn(reason);
      };
      return await this.options.slow.measure(caller.tenants, query, count, warnings, () =>
        work({ deadlineMs, signal, ends, warn, count }),
      );
    } finally {
      this.inProgress--;
    }
  }

  /**
   * The end offsets that a strong read waits for; undefined for other reads.
   * @throws `unavailable` without all of them in time
   */
  private async endsFor(caller: RequestContext): Promise<PartitionEnds | undefined> {
    const { ends } = this.options;
    if (caller.strong !== true || !ends) return undefined;
    return withDeadline(
      ends(),
      Math.max(1, caller.deadlineMs - this.base.now()),
      "Kafka did not list the partitions' end offsets for a strong read",
    );
  }
}

/** The select call of a selection within its permitted range. */
export function selectRequest(selection: ProfileSelection, range: TimeRange): SelectRequest {
  const { profileTypeId, labelSelector, profileIds } = selection;
  return {
    profileTypeId,
    labelSelector,
    ...(profileIds && profileIds.length > 0 ? { profileIds } : {}),
    ...range,
  };
}

/** The span and trace IDs of a request, for its query. */
export function sampleIds({ spans, traces }: SampleIds): SampleIds {
  return { spans, ...(traces ? { traces } : {}) };
}
