import { compareUtf8 } from "@cinderblock/bytes";
import { withDeadline } from "@cinderblock/async";
import { CinderblockError, invalidError, kindOf } from "@cinderblock/errors";
import {
  type Label,
  labelsKey,
  LABEL_PROFILE_TYPE,
  parseProfileType,
  type ProfileType,
  selectorText,
} from "@cinderblock/model";
import {
  type BlockInfo,
  type ExemplarKind,
  type JobResult,
  type LabelRequest,
  mergeProfileLists,
  type PartialResult,
  type ProfileList,
  type QueryJob,
  pointTimes,
  renderSeries,
  selectorOf,
  type SelectRequest,
  SeriesMerger,
  type SeriesResult,
  type SourceQuery,
  type StackFilter,
  type StackSelector,
  type TablePage,
} from "@cinderblock/query";
import type { SampleRows, TreeFormat } from "@cinderblock/exports/formats";
import { unitOf } from "@cinderblock/flame";
import type { ExportCall, RenderAnswer, RenderCall, ComparisonInput } from "@cinderblock/query-worker";
import { type Limits, readLimitsOf, type TenantLimits } from "@cinderblock/tenant";
import type { Base } from "@cinderblock/telemetry";
import { pprofToDot } from "./dot.ts";
import { exploreNodes, labelRange, maxNodes, selectRange } from "./limits.ts";
import type { ResultsCache } from "./results-cache.ts";
import { QueryBounds } from "./query-bounds.ts";
import { SlowQueries } from "./slow-queries.ts";
import { type JobQueue, SubQueries } from "./sub-queries.ts";

/** Merges and renders results in worker threads. */
export interface Renderer {
  render(call: RenderCall, signal?: AbortSignal): Promise<RenderAnswer>;
  export(call: ExportCall, signal?: AbortSignal): Promise<{ bytes: Uint8Array; rows: number }>;
}

/** Selects the samples of given spans and traces. */
function idsOf({ spans, traces }: { spans: string[]; traces?: string[] }): {
  spans: string[];
  traces?: string[];
} {
  return { spans, ...(traces ? { traces } : {}) };
}

/** The tenants of a query, its deadline, and the receiver of its warnings. */
export interface RequestContext {
  tenants: string[];
  deadlineMs: number;
  signal: AbortSignal | undefined;
  warn: (reason: string) => void;
  /** the answer must hold everything that was acknowledged before the query */
  strong?: boolean;
}

export interface MergeRequest {
  profileTypeId: string;
  labelSelector: string;
  startMs: number;
  endMs: number;
  maxNodes: number;
  spans: string[];
  traces?: string[];
  stacks: StackSelector | undefined;
  /** only these profiles; empty or absent: all */
  profileIds?: string[];
  /** only samples of `spans`: no samples if `spans` is empty */
  spansOnly?: boolean;
}

/** A selection of the explore API: profiles, and a filter of their stacks. */
export interface ExploreSelection {
  profileTypeId: string;
  labelSelector: string;
  startMs: number;
  endMs: number;
  spans: string[];
  traces?: string[];
  profileIds: string[];
  filter: StackFilter;
}

export interface SeriesRequest {
  profileTypeId: string;
  labelSelector: string;
  startMs: number;
  endMs: number;
  stepMs: number;
  groupBy: string[];
  average: boolean;
  limit: number;
  callSite: string[];
  /** replaces `callSite` */
  stacks?: StackFilter;
  /** return the largest profile or span of each point, too */
  exemplars?: ExemplarKind;
}

export interface SelectHeatmapRequest {
  profileTypeId: string;
  labelSelector: string;
  startMs: number;
  endMs: number;
  stepMs: number;
  groupBy: string[];
  each: ExemplarKind;
  exemplars: boolean;
  limit: number;
}

/**
 * Exports of samples advance in steps of time: target rows of a step, its first length, its maximum length.
 */
const STEP_ROWS = 200_000,
  FIRST_STEP_MS = 60_000,
  MAX_STEP_MS = 6 * 3600_000;
const MAX_PARQUET_BYTES = 256 << 20;

/** End offsets of a log's partitions, and the ID of their topic. */
export interface PartitionEnds {
  topicId: string;
  ends: number[];
}

/** The public read API: checks and queues queries, and has worker threads merge and render the answers. */
export class QueryFrontend {
  private readonly queue: JobQueue;
  private readonly renderer: Renderer;
  private readonly tenantLimits: TenantLimits;
  private readonly base: Base;
  private readonly ends: (() => Promise<PartitionEnds>) | undefined;
  private readonly subQueries: SubQueries;
  private inProgress = 0;
  /** the slowest queries of the last hour */
  readonly slow: SlowQueries;

  /**
   * @param ends returns the end offsets of the partitioned log; absent: no log between writers and readers
   * @param slow record of slow queries; absent: a new record that logs none
   */
  constructor(
    queue: JobQueue,
    renderer: Renderer,
    limits: TenantLimits,
    base: Base,
    cache?: ResultsCache,
    ends?: () => Promise<PartitionEnds>,
    slow = new SlowQueries(0, base),
  ) {
    this.slow = slow;
    this.ends = ends;
    this.subQueries = new SubQueries(queue, cache, base);
    this.queue = queue;
    this.renderer = renderer;
    this.tenantLimits = limits;
    this.base = base;
    base.metrics.gauge("pyroscope_query_frontend_queries_in_progress", "Queries in progress.", [], (g) => {
      g.set(this.inProgress);
    });
  }

  /** The strictest of each limit, over all tenants that the caller reads. */
  limits(caller: RequestContext): Limits {
    const [first, ...others] = caller.tenants.map((t) => this.tenantLimits.forTenant(t));
    return others.length === 0 ? first! : readLimitsOf([first!, ...others]);
  }

  /**
   * The end offsets that a strong read waits for; undefined for other reads.
   * @throws `unavailable` without all of them in time
   */
  private async endsFor(caller: RequestContext): Promise<PartitionEnds | undefined> {
    if (caller.strong !== true || !this.ends) return undefined;
    return withDeadline(
      this.ends(),
      Math.max(1, caller.deadlineMs - this.base.now()),
      "Kafka did not list the partitions' end offsets for a strong read",
    );
  }

  /** The bounds of the text of a caller's query. */
  bounds(caller: RequestContext): QueryBounds {
    return new QueryBounds(caller.tenants.map((t) => this.tenantLimits.forTenant(t)));
  }

  private async run(caller: RequestContext, job: QueryJob): Promise<JobResult[]> {
    const bounds = this.bounds(caller);
    if (job.kind === "labels") bounds.checkLabelRequest(job.ask);
    this.inProgress++;
    try {
      const asked = { ...job, ...(await this.endsFor(caller)) },
        warnings: string[] = [];
      return await this.slow.measure(caller.tenants, job, { parts: 1, kept: 0 }, warnings, async () => {
        const results = await Promise.all(
          caller.tenants.map((t) =>
            this.base.tracer.span(`query.${job.kind}`, { tenant: t }, () =>
              this.queue.enqueue(t, asked, caller.deadlineMs, caller.signal),
            ),
          ),
        );
        for (const r of results)
          for (const w of r.warnings) {
            warnings.push(w);
            caller.warn(w);
          }
        return results;
      });
    } finally {
      this.inProgress--;
    }
  }

  /** Partial results of a query, over all tenants and sub-queries. */
  private async parts(caller: RequestContext, query: SourceQuery): Promise<PartialResult[]> {
    this.bounds(caller).checkQuery(query);
    this.inProgress++;
    try {
      const { deadlineMs, signal } = caller,
        ends = await this.endsFor(caller);
      const warnings: string[] = [],
        count = { parts: 0, kept: 0 },
        warn = (w: string): void => {
          warnings.push(w);
          caller.warn(w);
        };
      return await this.slow.measure(caller.tenants, query, count, warnings, async () =>
        (
          await Promise.all(
            caller.tenants.map((t) =>
              this.subQueries.run(t, query, this.tenantLimits.forTenant(t), {
                deadlineMs,
                signal,
                ends,
                warn,
                count,
              }),
            ),
          )
        ).flat(),
      );
    } finally {
      this.inProgress--;
    }
  }

  private render(caller: RequestContext, call: RenderCall): Promise<RenderAnswer> {
    return this.base.tracer.span("query.render", { kind: call.kind }, () =>
      this.renderer.render(call, caller.signal),
    );
  }

  /** Partial call trees of a request; none if its range is too old, or if `spansOnly` comes without spans. */
  private async treeParts(caller: RequestContext, r: MergeRequest, nodes: number): Promise<PartialResult[]> {
    const range = selectRange(r.startMs, r.endMs, this.limits(caller), this.base.now());
    const select = {
      profileTypeId: r.profileTypeId,
      labelSelector: r.labelSelector,
      ...(r.profileIds && r.profileIds.length > 0 ? { profileIds: r.profileIds } : {}),
    };
    if (!range || (r.spansOnly && r.spans.length === 0)) {
      this.bounds(caller).checkSelection(select);
      return [];
    }
    // Only an unfiltered query of one tenant may truncate trees at the source.
    const whole = caller.tenants.length === 1 && (r.stacks?.callSite.length ?? 0) === 0;
    return this.parts(caller, {
      kind: "tree",
      select: { ...select, ...range },
      ...idsOf(r),
      maxNodes: whole ? nodes : 0,
    });
  }

  async flame(caller: RequestContext, r: MergeRequest, as: "proto" | "flamebearer"): Promise<Uint8Array> {
    const nodes = maxNodes(r.maxNodes, this.limits(caller));
    return bytesOf(
      await this.render(caller, {
        kind: "flame",
        parts: await this.treeParts(caller, r, nodes),
        callSite: r.stacks?.callSite ?? [],
        maxNodes: nodes,
        as,
      }),
    );
  }

  async tree(caller: RequestContext, r: MergeRequest): Promise<Uint8Array> {
    const nodes = maxNodes(r.maxNodes, this.limits(caller));
    return bytesOf(
      await this.render(caller, {
        kind: "tree",
        parts: await this.treeParts(caller, r, nodes),
        callSite: r.stacks?.callSite ?? [],
        maxNodes: nodes,
      }),
    );
  }

  async diff(
    caller: RequestContext,
    left: MergeRequest,
    right: MergeRequest,
    as: "proto" | "flamebearer",
  ): Promise<Uint8Array> {
    const limits = this.limits(caller);
    const nodes = maxNodes(Math.max(left.maxNodes, right.maxNodes), limits);
    for (const side of [left, right]) selectRange(side.startMs, side.endMs, limits, this.base.now());
    const [l, r] = await Promise.all([
      this.treeParts(caller, left, nodes),
      this.treeParts(caller, right, nodes),
    ]);
    return bytesOf(
      await this.render(caller, {
        kind: "diff",
        left: l,
        right: r,
        callSite: [left.stacks?.callSite ?? [], right.stacks?.callSite ?? []],
        maxNodes: nodes,
        as,
      }),
    );
  }

  /** Complete trees of one selection or two: nothing is truncated before the filter has run. */
  private async sides(
    caller: RequestContext,
    left: ExploreSelection,
    base: ExploreSelection | undefined,
  ): Promise<ComparisonInput> {
    if (
      base &&
      parseProfileType(left.profileTypeId).storedId !== parseProfileType(base.profileTypeId).storedId
    )
      throw invalidError(
        `profile types must match: ${left.profileTypeId} cannot be compared with ${base.profileTypeId}`,
      );
    const limits = this.limits(caller),
      bounds = this.bounds(caller);
    for (const s of [left, ...(base ? [base] : [])]) bounds.checkStackFilter(s.filter);
    for (const s of [left, ...(base ? [base] : [])]) selectRange(s.startMs, s.endMs, limits, this.base.now());
    const side = (s: ExploreSelection): Promise<PartialResult[]> =>
      this.treeParts(caller, { ...s, maxNodes: 0, stacks: undefined }, 0);
    const [parts, other] = await Promise.all([side(left), base && side(base)]);
    return { parts, base: other, filter: left.filter, baseFilter: base?.filter ?? left.filter };
  }

  /** cinderblock.explore.v1.CallTreeResponse. @param nodes 0: the tenant's default; -1: all */
  async callTree(
    caller: RequestContext,
    left: ExploreSelection,
    base: ExploreSelection | undefined,
    nodes: number,
  ): Promise<Uint8Array> {
    const cut = exploreNodes(nodes, this.limits(caller));
    return bytesOf(
      await this.render(caller, {
        kind: "call-tree",
        ...(await this.sides(caller, left, base)),
        maxNodes: cut,
      }),
    );
  }

  /** cinderblock.explore.v1.FunctionTableResponse: exact, whatever the number of nodes. */
  async functionTable(
    caller: RequestContext,
    left: ExploreSelection,
    base: ExploreSelection | undefined,
    page: TablePage,
  ): Promise<Uint8Array> {
    this.bounds(caller).checkTablePage(page);
    return bytesOf(
      await this.render(caller, { kind: "functions", ...(await this.sides(caller, left, base)), page }),
    );
  }

  /** cinderblock.explore.v1.FunctionNeighboursResponse. */
  async functionNeighbours(
    caller: RequestContext,
    left: ExploreSelection,
    base: ExploreSelection | undefined,
    name: string,
    nodes: number,
  ): Promise<Uint8Array> {
    if (name === "")
      throw invalidError(
        "function is required: the full name of the function whose callers and callees to return",
      );
    return bytesOf(
      await this.render(caller, {
        kind: "neighbours",
        ...(await this.sides(caller, left, base)),
        name,
        maxNodes: exploreNodes(nodes, this.limits(caller)),
      }),
    );
  }

  /** cinderblock.explore.v1.FunctionLinesResponse: a function's source position, the cost of its lines. */
  async functionLines(caller: RequestContext, s: ExploreSelection, name: string): Promise<Uint8Array> {
    if (name === "")
      throw invalidError("function is required: the full name of the function whose lines to return");
    this.bounds(caller).checkStackFilter(s.filter);
    const range = selectRange(s.startMs, s.endMs, this.limits(caller), this.base.now()),
      select = {
        profileTypeId: s.profileTypeId,
        labelSelector: s.labelSelector,
        ...(s.profileIds && s.profileIds.length > 0 ? { profileIds: s.profileIds } : {}),
      };
    this.bounds(caller).checkSelection(select);
    const parts = range
      ? await this.parts(caller, { kind: "profile", select: { ...select, ...range }, ...idsOf(s) })
      : [];
    return bytesOf(await this.render(caller, { kind: "function-lines", parts, name, filter: s.filter }));
  }

  /** cinderblock.explore.v1.HeatmapResponse: number of profiles by time and value. */
  async heatmap(
    caller: RequestContext,
    s: ExploreSelection,
    columns: number,
    rows: number,
  ): Promise<Uint8Array> {
    const range = selectRange(s.startMs, s.endMs, this.limits(caller), this.base.now()),
      select = { profileTypeId: s.profileTypeId, labelSelector: s.labelSelector };
    this.bounds(caller).checkSelection(select);
    const parts = range ? await this.parts(caller, { kind: "points", select: { ...select, ...range } }) : [];
    return bytesOf(
      await this.render(caller, {
        kind: "heatmap",
        parts,
        startMs: s.startMs,
        endMs: s.endMs,
        columns,
        rows,
      }),
    );
  }

  /** Single profiles with a value in (minValue, maxValue], the largest first. */
  async profiles(
    caller: RequestContext,
    s: ExploreSelection,
    minValue: number,
    maxValue: number,
    limit: number,
  ): Promise<ProfileList> {
    const range = selectRange(s.startMs, s.endMs, this.limits(caller), this.base.now()),
      select = { profileTypeId: s.profileTypeId, labelSelector: s.labelSelector };
    this.bounds(caller).checkSelection(select);
    const parts = range
      ? await this.parts(caller, {
          kind: "profiles",
          select: { ...select, ...range },
          minValue,
          maxValue,
          limit,
        })
      : [];
    return mergeProfileLists(
      parts.flatMap((p) => (p.kind === "profiles" ? [p.list] : [])),
      limit,
    );
  }

  /** Values of a label that start with `prefix`, those with the most series first. */
  async labelCounts(
    caller: RequestContext,
    name: string,
    matchers: string[],
    startMs: number,
    endMs: number,
    prefix: string,
    limit: number,
  ): Promise<{ values: { value: string; series: number }[]; cardinality: number }> {
    if (name === "") throw invalidError("name is required");
    const { sets } = await this.ask(caller, startMs, endMs, (range) => ({
      kind: "series",
      names: [],
      query: { matchers, ...range },
    }));
    const counts = new Map<string, number>();
    for (const labels of new Map(sets.map((s) => [labelsKey(s), s])).values()) {
      const value = labels.find((l) => l.name === name)?.value;
      if (value !== undefined && value.startsWith(prefix)) counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    const values = [...counts]
      .map(([value, series]) => ({ value, series }))
      .sort((a, b) => b.series - a.series || compareUtf8(a.value, b.value));
    return { values: limit > 0 ? values.slice(0, limit) : values, cardinality: values.length };
  }

  /** A merged pprof; undefined when there is no data. */
  async pprof(caller: RequestContext, r: MergeRequest): Promise<Uint8Array | undefined> {
    const range = selectRange(r.startMs, r.endMs, this.limits(caller), this.base.now());
    const type = parseProfileType(r.profileTypeId);
    const limits = this.limits(caller);
    const nodes = limits.maxFlamegraphNodesOnSelectMergeProfile
      ? maxNodes(r.maxNodes, limits)
      : Math.max(0, r.maxNodes);
    if (!range) return undefined;
    const select = {
      profileTypeId: r.profileTypeId,
      labelSelector: r.labelSelector,
      ...range,
      ...(r.profileIds && r.profileIds.length > 0 ? { profileIds: r.profileIds } : {}),
    };
    const parts = await this.parts(caller, {
      kind: "profile",
      select,
      ...idsOf(r),
      ...(r.stacks ? { stacks: r.stacks } : {}),
    });
    const answer = await this.render(caller, {
      kind: "pprof",
      parts,
      sampleType: { type: type.sampleType, unit: type.sampleUnit },
      periodType: { type: type.periodType, unit: type.periodUnit },
      period: type.name === "process_cpu" ? 1_000_000_000n : type.name === "memory" ? 524_288n : 1n,
      timeNanos: BigInt(Math.trunc(r.endMs)) * 1_000_000n,
      durationNanos: BigInt(Math.trunc(r.endMs - range.startMs)) * 1_000_000n,
      maxNodes: nodes,
      ...(r.stacks?.goPgo ? { goPgo: r.stacks.goPgo } : {}),
    });
    return "bytes" in answer ? answer.bytes : undefined;
  }

  /** A call tree, or a comparison of two, as a file. */
  async exportTree(
    caller: RequestContext,
    left: MergeRequest,
    base: MergeRequest | undefined,
    format: TreeFormat,
    title: string,
  ): Promise<Uint8Array> {
    const whole = (r: MergeRequest): ExploreSelection => ({
      ...r,
      profileIds: r.profileIds ?? [],
      filter: { callSite: r.stacks?.callSite ?? [], only: [], without: [], hide: [] },
    });
    const sides = await this.sides(caller, whole(left), base && whole(base));
    return (
      await this.renderer.export(
        {
          kind: "tree",
          ...sides,
          format,
          title,
          unit: unitOf(parseProfileType(left.profileTypeId).sampleUnit),
          atMs: left.startMs,
        },
        caller.signal,
      )
    ).bytes;
  }

  /** A merged profile as OTLP; undefined when there is no data. */
  async exportOtlp(
    caller: RequestContext,
    r: MergeRequest,
    service: string,
  ): Promise<Uint8Array | undefined> {
    const pprof = await this.pprof(caller, r);
    return pprof && (await this.renderer.export({ kind: "otlp", pprof, service }, caller.signal)).bytes;
  }

  /** Profiles and their samples as pieces of an Arrow stream; one step of time at a time is in memory. */
  async *exportSamples(
    caller: RequestContext,
    r: MergeRequest,
    rows: SampleRows,
  ): AsyncGenerator<Uint8Array> {
    const range = selectRange(r.startMs, r.endMs, this.limits(caller), this.base.now()),
      type = parseProfileType(r.profileTypeId),
      selector = selectorText(selectorOf(r, this.bounds(caller).patterns));
    const sets = range ? await this.labelSets(caller, [selector], [], range.startMs, range.endMs, true) : [];
    const table = {
      rows,
      labels: sorted(sets.flat().map((l) => l.name)).filter((n) => !n.startsWith("__")),
      profileType: type.id,
      unit: type.sampleUnit,
    };
    const { startMs, endMs } = range ?? { startMs: 1, endMs: 1 };
    for (let at = startMs, step = FIRST_STEP_MS, first = true; ; ) {
      const until = Math.min(endMs, at + step - 1),
        last = until === endMs;
      let parts: PartialResult[] = [];
      try {
        if (range)
          parts = await this.parts(caller, {
            kind: "samples",
            select: {
              profileTypeId: r.profileTypeId,
              labelSelector: r.labelSelector,
              startMs: at,
              endMs: until,
            },
            ...idsOf(r),
          });
      } catch (err) {
        if (kindOf(err) !== "limit" || step <= 1000) throw err;
        step = Math.max(1000, Math.floor(step / 8)); // too many samples for one answer
        continue;
      }
      const piece = await this.renderer.export({ kind: "samples", parts, table, first, last }, caller.signal);
      if (first || last || piece.rows > 0) {
        yield piece.bytes;
        first = false;
      }
      if (last) return;
      at = until + 1;
      step =
        piece.rows < STEP_ROWS / 4
          ? Math.min(step * 4, MAX_STEP_MS)
          : piece.rows > STEP_ROWS
            ? Math.max(1000, Math.floor(step / 2))
            : step;
    }
  }

  /** The table of `exportSamples` as a Parquet file. */
  async exportParquet(caller: RequestContext, r: MergeRequest, rows: SampleRows): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const p of this.exportSamples(caller, r, rows)) {
      pieces.push(p);
      bytes += p.length;
      if (bytes > MAX_PARQUET_BYTES)
        throw new CinderblockError(
          "limit",
          `the uncompressed table exceeds ${MAX_PARQUET_BYTES >> 20} MiB, the limit of a Parquet export: choose a shorter time range, a narrower selector, or format=arrow, which has no limit`,
        );
    }
    const stream = new Uint8Array(bytes);
    let at = 0;
    for (const p of pieces) {
      stream.set(p, at);
      at += p.length;
    }
    return (await this.renderer.export({ kind: "parquet", stream }, caller.signal)).bytes;
  }

  /** A call graph in Graphviz's DOT language; "" without data. */
  async dot(caller: RequestContext, r: MergeRequest): Promise<string> {
    const pprof = await this.pprof(caller, { ...r, maxNodes: Math.max(512, r.maxNodes) });
    return pprof ? pprofToDot(pprof, r.maxNodes > 0 ? r.maxNodes : 100) : "";
  }

  async series(caller: RequestContext, r: SeriesRequest): Promise<SeriesResult[]> {
    const range = selectRange(r.startMs, r.endMs, this.limits(caller), this.base.now());
    checkStep(r.stepMs);
    const bounds = this.bounds(caller);
    bounds.checkSelection(r);
    bounds.checkGroupBy(r.groupBy);
    if (!range) return [];
    const query: SourceQuery = {
      kind: "series",
      ...(r.stacks ? { stacks: r.stacks } : { callSite: r.callSite }),
      range: { ...range, stepMs: r.stepMs, groupBy: r.groupBy },
      select: pointSelect(r, range),
      ...(r.exemplars ? { exemplars: r.exemplars } : {}),
    };
    const merger = new SeriesMerger();
    for (const p of await this.parts(caller, query))
      if (p.kind === "series") for (const s of p.series) merger.add(s);
    return renderSeries(merger.finish(), { startMs: range.startMs, stepMs: r.stepMs }, r.average, r.limit);
  }

  /** querier.v1.SelectHeatmapResponse. */
  async selectHeatmap(caller: RequestContext, r: SelectHeatmapRequest): Promise<Uint8Array> {
    const range = selectRange(r.startMs, r.endMs, this.limits(caller), this.base.now());
    checkStep(r.stepMs);
    const bounds = this.bounds(caller);
    bounds.checkSelection(r);
    bounds.checkGroupBy(r.groupBy);
    const parts = range
      ? await this.parts(caller, {
          kind: "points",
          select: pointSelect(r, range),
          each: r.each,
          ids: r.exemplars,
        })
      : [];
    return bytesOf(
      await this.render(caller, {
        kind: "select-heatmap",
        parts,
        range: { startMs: r.startMs, endMs: r.endMs, ...range, stepMs: r.stepMs, groupBy: r.groupBy },
        limit: r.limit,
        exemplars: r.exemplars,
      }),
    );
  }

  private async ask(
    caller: RequestContext,
    startMs: number,
    endMs: number,
    toAsk: (range: { startMs: number; endMs: number }) => LabelRequest,
  ): Promise<{ names: string[]; sets: Label[][] }> {
    const range = labelRange(startMs, endMs, this.limits(caller), this.base.now());
    const ask = toAsk(range ?? { startMs: 0, endMs: 0 });
    if (!range) return { names: [], sets: [] };
    const results = await this.run(caller, { kind: "labels", ask });
    return {
      names: results.flatMap((r) => (r.kind === "labels" ? r.answer.names : [])),
      sets: results.flatMap((r) => (r.kind === "labels" ? r.answer.sets : [])),
    };
  }

  async labelNames(
    caller: RequestContext,
    matchers: string[],
    startMs: number,
    endMs: number,
    utf8: boolean,
  ): Promise<string[]> {
    const { names } = await this.ask(caller, startMs, endMs, (range) => ({
      kind: "names",
      query: { matchers, ...range },
    }));
    return sorted(utf8 ? names : names.filter(isLegacyName));
  }

  async labelValues(
    caller: RequestContext,
    name: string,
    matchers: string[],
    startMs: number,
    endMs: number,
  ): Promise<string[]> {
    if (name === "") throw invalidError("name is required");
    return sorted(
      (
        await this.ask(caller, startMs, endMs, (range) => ({
          kind: "values",
          name,
          query: { matchers, ...range },
        }))
      ).names,
    );
  }

  async labelSets(
    caller: RequestContext,
    matchers: string[],
    names: string[],
    startMs: number,
    endMs: number,
    utf8: boolean,
  ): Promise<Label[][]> {
    const wanted = utf8 ? names : names.filter(isLegacyName);
    const { sets } = await this.ask(caller, startMs, endMs, (range) => ({
      kind: "series",
      names: wanted,
      query: { matchers, ...range },
    }));
    const out = new Map<string, Label[]>();
    for (const s of sets) {
      const shown = utf8 ? s : s.filter((l) => isLegacyName(l.name));
      if (shown.length > 0) out.set(labelsKey(shown), shown);
    }
    return [...out.values()];
  }

  async profileTypes(caller: RequestContext, startMs: number, endMs: number): Promise<ProfileType[]> {
    const { names } = await this.ask(caller, startMs, endMs, (range) => ({
      kind: "values",
      name: LABEL_PROFILE_TYPE,
      query: { matchers: [], ...range },
    }));
    return sorted(names).map(parseProfileType);
  }

  private async blocks(
    caller: RequestContext,
    startMs: number,
    endMs: number,
  ): Promise<{ recent: BlockInfo[]; stored: BlockInfo[] }> {
    const results = await this.run(caller, { kind: "blocks", startMs, endMs });
    return {
      recent: results.flatMap((r) => (r.kind === "blocks" ? r.recent : [])),
      stored: results.flatMap((r) => (r.kind === "blocks" ? r.stored : [])),
    };
  }

  /** The blocks of a range, their location, and whether a query of the range reads them. */
  async plannedBlocks(
    caller: RequestContext,
    startMs: number,
    endMs: number,
  ): Promise<{ blocks: (BlockInfo & { where: "ingester" | "bucket"; read: boolean })[] }> {
    const results = await this.run(caller, { kind: "blocks", startMs, endMs });
    return {
      blocks: results
        .flatMap((r) => {
          if (r.kind !== "blocks") return [];
          const stored = new Set(r.stored.map((b) => b.ulid)),
            read = new Set(r.chosen);
          return [
            ...r.stored.map((b) => ({ ...b, where: "bucket" as const, read: read.has(b.ulid) })),
            ...r.recent
              .filter((b) => !stored.has(b.ulid))
              .map((b) => ({ ...b, where: "ingester" as const, read: read.has(b.ulid) })),
          ];
        })
        .sort((a, b) => b.minTimeMs - a.minTimeMs),
    };
  }

  /** Times of the oldest and the newest profile in ms; undefined when nothing was ever stored. */
  async stats(caller: RequestContext): Promise<{ oldestMs: number; newestMs: number } | undefined> {
    const { recent, stored } = await this.blocks(caller, 0, Number.MAX_SAFE_INTEGER);
    const all = [...recent, ...stored];
    if (all.length === 0) return undefined;
    return {
      oldestMs: all.reduce((m, b) => Math.min(m, b.minTimeMs), Infinity),
      newestMs: all.reduce((m, b) => Math.max(m, b.maxTimeMs), 0),
    };
  }

  async analyze(
    caller: RequestContext,
    startMs: number,
    endMs: number,
  ): Promise<{ recent: number; stored: number; dedup: boolean } | undefined> {
    const limits = this.limits(caller);
    if (startMs > 0 && endMs > 0 && startMs > endMs) throw invalidError("query start time is after end time");
    if (!limits.queryAnalysisEnabled || startMs === 0 || endMs === 0) return undefined;
    const { recent, stored } = await this.blocks(caller, startMs, endMs);
    return {
      recent: recent.length,
      stored: stored.length,
      dedup: [...recent, ...stored].some((b) => b.level < 2),
    };
  }
}

function checkStep(stepMs: number): void {
  if (!(stepMs >= 1))
    throw invalidError(`step must be non-zero: ${stepMs / 1000} s is below the minimum of 0.001 s`);
}

/** The rows behind the points of a range. */
function pointSelect(
  r: { profileTypeId: string; labelSelector: string; stepMs: number },
  range: { startMs: number; endMs: number },
): SelectRequest {
  return {
    profileTypeId: r.profileTypeId,
    labelSelector: r.labelSelector,
    ...pointTimes({ ...range, stepMs: r.stepMs }),
  };
}

function bytesOf(a: RenderAnswer): Uint8Array {
  if (!("bytes" in a)) throw new CinderblockError("internal", "the renderer returned no bytes");
  return a.bytes;
}

function sorted(names: readonly string[]): string[] {
  return [...new Set(names)].sort(compareUtf8);
}
function isLegacyName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}
