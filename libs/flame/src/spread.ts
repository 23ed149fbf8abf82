import { totalLength, unionOfSpans } from "./figures.ts";

/** Steps of a time line: step k is (startMs + k stepMs, startMs + (k + 1) stepMs]. */
export interface StepRange {
  startMs: number;
  stepMs: number;
  steps: number;
}

/** Values and covered time by step, and the covered time as a whole. */
export interface Spread {
  sums: Float64Array;
  covered: Float64Array;
  coveredMs: number;
}

/**
 * Index of the step that contains a time. A time between two steps belongs to the earlier one, with `from` to
 * the later one; a time before the first step belongs to it.
 */
export function stepAt(ms: number, { startMs, stepMs, steps }: StepRange, from = false): number {
  const k = (ms - startMs) / stepMs;
  return Math.max(0, Math.min(steps - 1, from ? Math.floor(k) : Math.ceil(k) - 1));
}

/**
 * Spreads values over the times that they cover, in whole units: the sums of all steps add up to the values.
 * Overlapping times are covered once.
 * @param from start of each value's time
 * @param to end of each value's time
 */
export function spread(from: Float64Array, to: Float64Array, value: Float64Array, r: StepRange): Spread {
  const sums = new Float64Array(r.steps),
    covered = new Float64Array(r.steps);
  for (let i = 0; i < value.length; i++) {
    const last = stepAt(to[i]!, r);
    let rest = value[i]!,
      at = from[i]!;
    for (let k = stepAt(at, r, true); k < last; k++) {
      const until = r.startMs + (k + 1) * r.stepMs,
        part = Math.floor((value[i]! * (until - at)) / (to[i]! - from[i]!));
      sums[k]! += part;
      rest -= part;
      at = until;
    }
    sums[last]! += rest;
  }
  const spans = unionOfSpans(from, to);
  for (let i = 0; i < spans.from.length; i++) {
    let at = spans.from[i]!;
    for (let k = stepAt(at, r, true); k < r.steps && at < spans.to[i]!; k++) {
      const until = k === r.steps - 1 ? spans.to[i]! : Math.min(spans.to[i]!, r.startMs + (k + 1) * r.stepMs);
      covered[k]! += Math.max(0, until - at);
      at = Math.max(at, until);
    }
  }
  return { sums, covered, coveredMs: totalLength(spans) };
}
