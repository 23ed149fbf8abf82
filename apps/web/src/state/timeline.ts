import {
  coveredSpan,
  heightOf,
  totalLength,
  spread,
  stepAt,
  unionOfSpans,
  UNKNOWN_INTERVAL_MS,
} from "@cinderblock/flame";
import type { Series, Timeline, TimelineSeries } from "../api/types.ts";

/**
 * A grid of steps whose last one ends with the window, for servers that only have querier.v1's SelectSeries.
 * Each of its points counts the step before it, so the first point must be one step after the start.
 */
export function stepGrid(
  startMs: number,
  endMs: number,
  stepMs: number,
): { firstMs: number; stepMs: number; count: number } {
  const length = Math.max(2, endMs - startMs),
    // Do not request a single point with an equal start and end: not all servers answer that.
    count = Math.max(2, stepMs > 0 ? Math.floor(length / stepMs) : 2),
    step = Math.max(1, Math.floor(length / count));
  return { firstMs: endMs - (count - 1) * step, stepMs: step, count };
}

/**
 * Interval of profiles, from the points of a series in short steps: 90 % of the distances between non-empty
 * points are at most this. The median would miss the longer one of two alternating distances, as two series in
 * one group have them.
 */
export function observedInterval(series: readonly Series[], stepMs: number): number {
  const gaps = series
    .flatMap((s) => s.points.slice(1).map((p, i) => p.ms - s.points[i]!.ms))
    .sort((a, b) => a - b);
  const gap = gaps[Math.floor(0.9 * (gaps.length - 1))];
  return gap === undefined ? UNKNOWN_INTERVAL_MS : Math.max(gap, Math.min(stepMs, UNKNOWN_INTERVAL_MS));
}

/**
 * The time line of steps of a grid, for servers that do not report covered time. A non-empty step counts as a
 * profile at its end. The resulting step has at least two intervals, because the times are rounded to steps.
 */
export function timelineOfSteps(
  series: readonly Series[],
  grid: { firstMs: number; stepMs: number; count: number },
  intervalMs: number,
): Timeline {
  const merge = Math.min(grid.count, Math.max(1, Math.ceil((2 * intervalMs) / grid.stepMs))),
    stepMs = merge * grid.stepMs,
    startMs = grid.firstMs - grid.stepMs,
    endMs = startMs + grid.count * grid.stepMs,
    range = { startMs, stepMs, steps: Math.ceil(grid.count / merge) },
    seen = Math.max(intervalMs, grid.stepMs);
  const allFrom: number[] = [],
    allTo: number[] = [];
  const out = series.map((s): TimelineSeries => {
    const points = s.points.filter((p) => p.ms > startMs && p.ms <= endMs),
      to = Float64Array.from(points, (p) => p.ms),
      from = to.map((ms, i) => ms - coveredSpan(i > 0 ? ms - to[i - 1]! : undefined, seen)),
      { sums, covered, coveredMs } = spread(
        from,
        to,
        Float64Array.from(points, (p) => p.value),
        range,
      );
    allFrom.push(...from);
    allTo.push(...to);
    const notes = new Map<number, TimelineSeries["points"][number]["annotations"]>();
    for (const p of points) {
      const k = stepAt(p.ms, range);
      if (p.annotations.length > 0) notes.set(k, [...(notes.get(k) ?? []), ...p.annotations]);
    }
    return {
      labels: s.labels,
      points: Array.from(covered, (ms, k) => ({
        ms: Math.min(endMs, startMs + (k + 1) * stepMs),
        value: sums[k]!,
        coveredMs: ms,
        annotations: notes.get(k) ?? [],
      })).filter((p) => p.coveredMs > 0 || p.value > 0),
      total: points.reduce((n, p) => n + p.value, 0),
      coveredMs,
      intervalMs,
    };
  });
  return {
    startMs,
    stepMs,
    intervalMs,
    coveredMs: totalLength(unionOfSpans(Float64Array.from(allFrom), Float64Array.from(allTo))),
    total: out.reduce((n, s) => n + s.total, 0),
    series: out.sort((a, b) => b.total - a.total),
  };
}

/** A line of a chart. `originMs` is the start of its window, so that compared windows start together. */
export interface ChartLine {
  name: string;
  series: TimelineSeries;
  timeline: Timeline;
  originMs: number;
}

/**
 * Columns of a chart with one step: times in seconds at the middles of the steps, and the heights of each line.
 * Steps without covered time are gaps (null); zero is a height only where profiles have the value 0.
 */
export function chartColumns(
  type: string,
  lines: readonly ChartLine[],
  startMs: number,
  endMs: number,
): { times: number[]; heights: (number | null)[][] } {
  const stepMs = Math.max(1, ...lines.map((l) => l.timeline.stepMs)),
    count = Math.max(1, Math.ceil((endMs - startMs) / stepMs));
  const heights = lines.map(({ series, originMs }) => {
    const value = new Float64Array(count),
      covered = new Float64Array(count);
    for (const p of series.points) {
      // Ends of steps may be some milliseconds late where the step does not divide the window.
      const k = Math.ceil((p.ms - originMs) / stepMs - 0.05) - 1;
      if (k < 0 || k >= count) continue;
      value[k]! += p.value;
      covered[k]! += p.coveredMs;
    }
    return Array.from(covered, (ms, k) => (ms > 0 ? heightOf(type, value[k]!, ms, series.intervalMs) : null));
  });
  return {
    times: Array.from({ length: count }, (_, k) => (startMs + (k + 0.5) * stepMs) / 1000),
    heights,
  };
}

/** Indices of values between two gaps: a line needs a neighbor, so they are drawn as points. */
export function isolatedPoints(column: readonly (number | null | undefined)[]): number[] {
  return column.flatMap((v, i) => (v != null && column[i - 1] == null && column[i + 1] == null ? [i] : []));
}
