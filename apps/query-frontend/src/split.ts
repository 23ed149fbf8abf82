import type { PartialResult, SourceQuery } from "@cinderblock/query";

/** A sub-query, by time and by series. The partial results of all sub-queries add up to the query's. */
export interface SubQuery {
  query: SourceQuery;
  startMs: number;
  endMs: number;
  /**
   * points before this sub-query's range. Its points are counted from its own first point, so that its answer
   * is the same in every query
   */
  shift: number;
}

/** Above this number of sub-queries, the interval is widened. */
const MAX_PARTS = 500;

/**
 * Splits a query at the multiples of an interval, and each piece by series. Only a single sub-query, which is
 * the query itself, may truncate trees at the source.
 */
export function splitQuery(query: SourceQuery, intervalMs: number, shards: number): SubQuery[] {
  const { startMs, endMs } = query.select,
    of = Math.max(1, shards);
  const ranges = rangesOf(startMs, endMs, intervalMs, Math.max(1, Math.floor(MAX_PARTS / of)));
  if (ranges.length === 1 && of === 1) return [{ query, startMs, endMs, shift: 0 }];
  return ranges.flatMap((r, i) =>
    Array.from({ length: of }, (_, index) => {
      const select = { ...query.select, ...r, ...(of > 1 ? { shard: { index, of } } : {}) };
      if (query.kind === "tree") return { ...r, shift: 0, query: { ...query, maxNodes: 0, select } };
      if (query.kind !== "series") return { ...r, shift: 0, query: { ...query, select } };
      // Rows up to the first point count for it; rows after the last one for the next part.
      const { range } = query,
        shift = Math.max(0, Math.ceil((r.startMs - range.startMs) / range.stepMs)),
        first = range.startMs + shift * range.stepMs;
      const last =
        i === ranges.length - 1
          ? range.endMs
          : Math.min(
              range.endMs,
              first + Math.ceil(Math.max(0, r.endMs - first) / range.stepMs) * range.stepMs,
            );
      return { ...r, shift, query: { ...query, select, range: { ...range, startMs: first, endMs: last } } };
    }),
  );
}

function rangesOf(
  startMs: number,
  endMs: number,
  intervalMs: number,
  most: number,
): { startMs: number; endMs: number }[] {
  if (intervalMs <= 0) return [{ startMs, endMs }];
  const count = Math.floor(endMs / intervalMs) - Math.floor(startMs / intervalMs) + 1;
  const width = intervalMs * Math.ceil(count / most);
  const out: { startMs: number; endMs: number }[] = [];
  for (let at = startMs; at <= endMs; ) {
    const next = (Math.floor(at / width) + 1) * width;
    out.push({ startMs: at, endMs: Math.min(endMs, next - 1) });
    at = next;
  }
  return out.length > 0 ? out : [{ startMs, endMs }];
}

/** Converts partial results of a sub-query into those of the whole query. */
export function toQueryRange(part: SubQuery, results: readonly PartialResult[]): PartialResult[] {
  if (part.shift === 0) return [...results];
  return results.map((r) =>
    r.kind === "series"
      ? {
          kind: "series",
          series: r.series.map((s) => ({ ...s, bucket: s.bucket.map((b) => b + part.shift) })),
        }
      : r,
  );
}
