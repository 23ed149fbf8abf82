import type { SideFigures } from "@cinderblock/flame";
import type { Series } from "../api/types.ts";

/** Push interval of most agents, and the smallest step that tells a gap from the time between two profiles. */
const INTERVAL_MS = 15_000;
const MOST_STEPS = 2000;

/**
 * Step in seconds of the time series for `coverOfSeries`, and its first point. The last point is the end of
 * the range; the first may be up to a step after its start.
 */
export function coverSteps(startMs: number, endMs: number): { fromMs: number; stepS: number } {
  const length = endMs - startMs,
    stepS = Math.max(INTERVAL_MS / 1000, Math.ceil(length / MOST_STEPS / 1000));
  return { fromMs: endMs - Math.floor(length / (stepS * 1000)) * stepS * 1000, stepS };
}

/**
 * Covered time and interval of a selection, from a time series with the steps of `coverSteps`. A step with a value
 * covers the time back to the previous such step if that is at most two intervals earlier, otherwise one
 * interval; the interval is their median distance. Points up to `startMs` count values before the range.
 */
export function coverOfSeries(
  series: readonly Series[],
  startMs: number,
  stepS: number,
): Omit<SideFigures, "total"> {
  const times = new Set<number>();
  for (const s of series) for (const p of s.points) if (p.ms > startMs && p.value !== 0) times.add(p.ms);
  const sorted = Float64Array.from(times).sort();
  const distances = sorted.slice(1).map((t, i) => t - sorted[i]!);
  const intervalMs =
    distances.length === 0 ? stepS * 1000 : distances.slice().sort()[(distances.length - 1) >> 1]!;
  let coveredMs = 0;
  sorted.forEach((_, i) => {
    const distance = i === 0 ? Infinity : distances[i - 1]!;
    coveredMs += distance <= 2 * intervalMs ? distance : intervalMs;
  });
  return { coveredMs, intervalMs };
}
