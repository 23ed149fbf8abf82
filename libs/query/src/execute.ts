import { UNPACED } from "@cinderblock/async";
import { type ProfileSource, type SourceForm } from "@cinderblock/block";
import { buildProfile, type PartialProfile, ProfileMerger, type StackSelector } from "./profile.ts";
import type { ExemplarKind } from "./exemplars.ts";
import { callSiteFilter, type StackFilter } from "./stack-filter.ts";
import { addSourceRows, type PartialSeries, SeriesMerger, type SeriesRange } from "./series.ts";
import { pointsWithSeries } from "./heatmap.ts";
import {
  largestProfiles,
  mergePoints,
  mergeProfileLists,
  type Points,
  pointsOf,
  type ProfileList,
  selectByIds,
} from "./points.ts";
import { profilePoints } from "./timeline.ts";
import { buildSamples, mergeSamples, type PartialSamples } from "./samples.ts";
import { type Segment, segmentsOf } from "./segments.ts";
import type { ExecuteAnswer, SeriesRanges } from "./contracts.ts";
import type { Exclusion, Exclusions } from "./duplicates.ts";
import {
  endNanos,
  isInShard,
  sampleFilter,
  type SampleFilter,
  selectorOf,
  selectRows,
  type SelectRequest,
  startNanos,
} from "./select.ts";
import { buildTree, type PartialTree, TreeMerger } from "./tree.ts";

/** A query that a set of sources answers with one merged partial result. */
export type SourceQuery =
  | {
      kind: "tree";
      select: SelectRequest;
      spans: string[];
      traces?: string[];
      maxNodes: number;
      /** the queried source has the complete answer and may cut it to maxNodes */
      alone?: boolean;
    }
  | { kind: "profile"; select: SelectRequest; spans: string[]; traces?: string[]; stacks?: StackSelector }
  | {
      kind: "series";
      select: SelectRequest;
      range: SeriesRange;
      /** only stacks that begin with these functions */
      callSite?: string[];
      /**
       * replaces `callSite`: an older release that does not support it fails instead of counting filtered
       * stacks
       */
      stacks?: StackFilter;
      /** include the largest profile or span of each point */
      exemplars?: ExemplarKind;
    }
  | {
      kind: "points";
      select: SelectRequest;
      /** include the series of each point; a point is a profile, or a span of one */
      each?: ExemplarKind;
      /** include the ID of each profile or span */
      ids?: boolean;
    }
  /**
   * points of profiles with series and annotations; with `stacks`, values of the accepted samples only. A
   * kind of its own: an older release fails instead of counting filtered stacks
   */
  | { kind: "profile-points"; select: SelectRequest; stacks?: StackFilter }
  | { kind: "samples"; select: SelectRequest; spans: string[]; traces?: string[] }
  | { kind: "profiles"; select: SelectRequest; minValue: number; maxValue: number; limit: number };

/** Result of some sources, before the last merge. */
export type PartialResult =
  | { kind: "tree"; tree: PartialTree }
  | { kind: "profile"; profile: PartialProfile }
  | { kind: "series"; series: PartialSeries[] }
  | { kind: "samples"; samples: PartialSamples }
  | { kind: "points"; points: Points }
  | { kind: "profiles"; list: ProfileList; limit: number };

/**
 * Identity and sum of rows for the duplicate check between sources, as parallel columns. Row numbers belong
 * to `form`: a head and its block number the rows differently. `upTo` is the number of rows that the source
 * had.
 */
export interface RowKeys {
  ulid: string;
  form: SourceForm;
  upTo: number;
  fingerprint: BigUint64Array;
  timeNanos: BigInt64Array;
  id: Uint8Array;
  total: BigInt64Array;
  row: Uint32Array;
}

/**
 * ULIDs that are no longer in `form` of the exclusions: their rows were compared in another form with other
 * numbers.
 */
export function staleForms(exclude: Exclusions, ulids: readonly string[], form: SourceForm): string[] {
  return ulids.filter((u) => (exclude[u]?.form ?? form) !== form);
}

/** Runs a query on sources and merges their partial results. Rows in `exclude` are skipped. */
export async function executeOn(
  sources: readonly ProfileSource[],
  query: SourceQuery,
  exclude: Exclusions,
  pace = UNPACED,
): Promise<PartialResult> {
  const selector = selectorOf(query.select);
  for (const s of sources) await s.labelIndex.prepare(selector, pace);
  const from = startNanos(query.select.startMs),
    to = endNanos(query.select.endMs),
    { shard } = query.select;
  const ids = query.select.profileIds ?? [];
  const chosenSegments = async (
    s: ProfileSource,
    without: Exclusion | undefined,
    filter: SampleFilter | undefined,
  ): Promise<Segment[]> => {
    const segments = await segmentsOf(
      s,
      selector,
      from,
      to,
      without,
      filter !== undefined || ids.length > 0,
      shard,
    );
    if (ids.length > 0) {
      const table = await s.load(["ids"]);
      for (const g of segments) g.selected = selectByIds(table, g.selected, ids);
    }
    return segments;
  };
  if (query.kind === "tree") {
    const filter = sampleFilter(query.spans, query.traces ?? []);
    const trees: PartialTree[] = [];
    const cutTo = query.alone === true && sources.length === 1 ? query.maxNodes : 0;
    for (const s of sources)
      trees.push(await buildTree(s, await chosenSegments(s, exclude[s.ulid], filter), filter, cutTo));
    if (trees.length === 1) return { kind: "tree", tree: trees[0]! };
    const merger = new TreeMerger();
    for (const t of trees) merger.add(t);
    return { kind: "tree", tree: merger.finish() };
  }
  if (query.kind === "profile") {
    const filter = sampleFilter(query.spans, query.traces ?? []);
    const merger = new ProfileMerger();
    for (const s of sources)
      await buildProfile(s, await chosenSegments(s, exclude[s.ulid], filter), filter, query.stacks, merger);
    return { kind: "profile", profile: merger.finish() };
  }
  if (query.kind === "samples") {
    const parts: PartialSamples[] = [],
      filter = sampleFilter(query.spans, query.traces ?? []);
    for (const s of sources) {
      await s.load(["keys", "ids"]);
      let selected = selectRows(s, selector, from, to, exclude[s.ulid], s, shard);
      if (ids.length > 0) selected = selectByIds(await s.load(["ids"]), selected, ids);
      parts.push(await buildSamples(s, { rows: s, selected }, filter));
    }
    return { kind: "samples", samples: mergeSamples(parts) };
  }
  if (query.kind === "points") {
    const parts: Points[] = [];
    for (const s of sources) {
      const table = await s.load(query.ids ? ["totals", "ids"] : ["totals"]),
        selected = selectRows(s, selector, from, to, exclude[s.ulid], s, shard);
      parts.push(
        query.each
          ? await pointsWithSeries(s, { rows: s, selected }, query.each, query.ids === true)
          : pointsOf(table, selected),
      );
    }
    return { kind: "points", points: parts.length === 1 ? parts[0]! : mergePoints(parts) };
  }
  if (query.kind === "profile-points") {
    const parts: Points[] = [];
    for (const s of sources) {
      await s.load(["totals"]);
      let selected = selectRows(s, selector, from, to, exclude[s.ulid], s, shard);
      if (ids.length > 0) selected = selectByIds(await s.load(["ids"]), selected, ids);
      parts.push(await profilePoints(s, { rows: s, selected }, query.stacks, pace));
      if (pace.due()) await pace.next();
    }
    return { kind: "points", points: parts.length === 1 ? parts[0]! : mergePoints(parts) };
  }
  if (query.kind === "profiles") {
    const parts: ProfileList[] = [];
    for (const s of sources) {
      const table = await s.load(["totals", "ids"]);
      parts.push(
        largestProfiles(
          s,
          table,
          selectRows(s, selector, from, to, exclude[s.ulid], s, shard),
          query.minValue,
          query.maxValue,
          query.limit,
        ),
      );
    }
    return { kind: "profiles", list: mergeProfileLists(parts, query.limit), limit: query.limit };
  }
  const merger = new SeriesMerger(),
    { callSite = [] } = query,
    stacks = query.stacks ?? (callSite.length > 0 ? callSiteFilter(callSite) : undefined);
  for (const s of sources) {
    await s.load(["totals"]);
    await addSourceRows(
      merger,
      s,
      { rows: s, selected: selectRows(s, selector, from, to, exclude[s.ulid], s, shard) },
      query.range,
      stacks,
      query.exemplars,
      pace,
    );
    if (pace.due()) await pace.next();
  }
  return { kind: "series", series: merger.finish() };
}

/** Time range of each selected series of a source: where two sources overlap, compare their row keys. */
export async function seriesRanges(
  source: ProfileSource,
  select: SelectRequest,
  pace = UNPACED,
): Promise<SeriesRanges> {
  const selector = selectorOf(select);
  await source.labelIndex.prepare(selector, pace);
  const from = startNanos(select.startMs),
    to = endNanos(select.endMs);
  const picked = source.labelIndex
    .select(selector)
    .map((i) => source.series[i]!)
    .filter((s) => s.minTimeNanos <= to && s.maxTimeNanos >= from && isInShard(select.shard, s.fingerprint));
  return {
    ulid: source.ulid,
    form: source.form,
    upTo: source.rowCount,
    fingerprint: BigUint64Array.from(picked, (s) => s.fingerprint),
    min: BigInt64Array.from(picked, (s) => s.minTimeNanos),
    max: BigInt64Array.from(picked, (s) => s.maxTimeNanos),
  };
}

/** Row keys of the selected rows of a source, for the duplicate check. */
export async function rowKeys(
  source: ProfileSource,
  select: SelectRequest,
  pace = UNPACED,
): Promise<RowKeys> {
  await source.labelIndex.prepare(selectorOf(select), pace);
  const table = await source.load(["ids", "totals"]);
  const upTo = source.rowCount;
  const selected = selectRows(
    source,
    selectorOf(select),
    startNanos(select.startMs),
    endNanos(select.endMs),
    undefined,
    source,
    select.shard,
  );
  let n = 0;
  for (const s of selected) n += s.rows.length;
  const out: RowKeys = {
    ulid: source.ulid,
    form: source.form,
    upTo,
    fingerprint: new BigUint64Array(n),
    timeNanos: new BigInt64Array(n),
    id: new Uint8Array(n * 16),
    total: new BigInt64Array(n),
    row: new Uint32Array(n),
  };
  let at = 0;
  for (const s of selected) {
    for (const row of s.rows) {
      out.fingerprint[at] = source.series[s.index]!.fingerprint;
      out.timeNanos[at] = table.timeNanos[row]!;
      out.id.set(table.id.subarray(row * 16, row * 16 + 16), at * 16);
      out.total[at] = table.totalValue[row]!;
      out.row[at++] = row;
    }
  }
  return out;
}

/** Merges partial results of one kind. */
export function mergePartials(parts: readonly PartialResult[]): PartialResult {
  const first = parts[0]!;
  if (parts.length === 1) return first;
  if (first.kind === "tree") {
    const m = new TreeMerger();
    for (const p of parts) if (p.kind === "tree") m.add(p.tree);
    return { kind: "tree", tree: m.finish() };
  }
  if (first.kind === "profile") {
    const m = new ProfileMerger();
    for (const p of parts) if (p.kind === "profile") m.add(p.profile);
    return { kind: "profile", profile: m.finish() };
  }
  if (first.kind === "samples")
    return {
      kind: "samples",
      samples: mergeSamples(parts.flatMap((p) => (p.kind === "samples" ? [p.samples] : []))),
    };
  if (first.kind === "points")
    return {
      kind: "points",
      points: mergePoints(parts.flatMap((p) => (p.kind === "points" ? [p.points] : []))),
    };
  if (first.kind === "profiles")
    return {
      kind: "profiles",
      list: mergeProfileLists(
        parts.flatMap((p) => (p.kind === "profiles" ? [p.list] : [])),
        first.limit,
      ),
      limit: first.limit,
    };
  const m = new SeriesMerger();
  for (const p of parts) if (p.kind === "series") for (const s of p.series) m.add(s);
  return { kind: "series", series: m.finish() };
}

/**
 * First reason of several answers why native frames have no names, as a field to spread into a merged answer.
 */
export function unnamedReason(answers: readonly (ExecuteAnswer | undefined)[]): { unnamed?: string } {
  const unnamed = answers.find((a) => a?.unnamed !== undefined)?.unnamed;
  return unnamed === undefined ? {} : { unnamed };
}
