import { invalidError } from "@cinderblock/errors";
import {
  pointTimes,
  renderSeries,
  type SelectRequest,
  SeriesMerger,
  type SeriesResult,
} from "@cinderblock/query";
import type { TimeRange } from "./limits.ts";
import type { QueryRunner } from "./query-runner.ts";
import type {
  ExploreSelection,
  PointRequest,
  RequestContext,
  SelectHeatmapRequest,
  SeriesRequest,
} from "./request.ts";

/** Time series of Pyroscope's API: sums or averages by time, and heatmaps. */
export class TimeSeries {
  private readonly runner: QueryRunner;

  constructor(runner: QueryRunner) {
    this.runner = runner;
  }

  /** Time series of sums or averages. */
  async series(caller: RequestContext, r: SeriesRequest): Promise<SeriesResult[]> {
    const range = this.checkedRange(caller, r);
    if (!range) return [];
    const parts = await this.runner.partialResults(caller, {
      kind: "series",
      ...(r.stacks ? { stacks: r.stacks } : { callSite: r.callSite }),
      range: { ...range, stepMs: r.stepMs, groupBy: r.groupBy },
      select: pointSelect(r, range),
      ...(r.exemplars ? { exemplars: r.exemplars } : {}),
    });
    const merger = new SeriesMerger();
    for (const p of parts) if (p.kind === "series") for (const s of p.series) merger.add(s);
    return renderSeries(merger.finish(), { startMs: range.startMs, stepMs: r.stepMs }, r.average, r.limit);
  }

  /** querier.v1.SelectHeatmapResponse: number of profiles or spans by time and value. */
  async heatmap(caller: RequestContext, r: SelectHeatmapRequest): Promise<Uint8Array> {
    const range = this.checkedRange(caller, r);
    const parts = range
      ? await this.runner.partialResults(caller, {
          kind: "points",
          select: pointSelect(r, range),
          each: r.each,
          ids: r.exemplars,
        })
      : [];
    return this.runner.renderBytes(caller, {
      kind: "select-heatmap",
      parts,
      range: { startMs: r.startMs, endMs: r.endMs, ...range, stepMs: r.stepMs, groupBy: r.groupBy },
      limit: r.limit,
      exemplars: r.exemplars,
    });
  }

  /** cinderblock.explore.v1.SeriesResponse: values and covered time over time. */
  async timeline(
    caller: RequestContext,
    s: ExploreSelection,
    r: { stepMs: number; groupBy: string[]; limit: number },
  ): Promise<Uint8Array> {
    const range = this.runner.range(caller, s),
      bounds = this.runner.bounds(caller),
      { callSite, only, without } = s.filter,
      select = {
        profileTypeId: s.profileTypeId,
        labelSelector: s.labelSelector,
        ...(s.profileIds.length > 0 ? { profileIds: s.profileIds } : {}),
      };
    bounds.checkSelection(select);
    bounds.checkGroupBy(r.groupBy);
    const parts = range
      ? await this.runner.partialResults(caller, {
          kind: "profile-points",
          select: { ...select, ...range },
          ...(callSite.length + only.length + without.length > 0
            ? { stacks: { ...s.filter, hide: [] } }
            : {}),
        })
      : [];
    return this.runner.renderBytes(caller, {
      kind: "timeline",
      parts,
      startMs: s.startMs,
      endMs: s.endMs,
      ...r,
    });
  }

  /** The range of a request whose step, selection and grouping are valid; undefined: all of it is too old. */
  private checkedRange(caller: RequestContext, r: PointRequest): TimeRange | undefined {
    const range = this.runner.range(caller, r);
    if (!(r.stepMs >= 1))
      throw invalidError(`step must be non-zero: ${r.stepMs / 1000} s is below the minimum of 0.001 s`);
    if (r.stepMs === Infinity) throw invalidError("step must be finite");
    const bounds = this.runner.bounds(caller);
    bounds.checkSelection(r);
    bounds.checkGroupBy(r.groupBy);
    return range;
  }
}

/** Select request for the profiles whose values the points of a time range add up. */
function pointSelect(r: PointRequest, range: TimeRange): SelectRequest {
  const { profileTypeId, labelSelector, stepMs } = r;
  return { profileTypeId, labelSelector, ...pointTimes({ ...range, stepMs }) };
}
