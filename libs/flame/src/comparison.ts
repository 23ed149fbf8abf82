/**
 * Sum and covered time of both whole sides of a comparison: the denominators of each figure. A focus and
 * filters of functions change neither.
 */
export interface Sides {
  sum: number;
  seconds: number;
  baseSum: number;
  baseSeconds: number;
}

/**
 * Quantity to compare: value per second of covered time, share of the side's whole sum, or sum. Only the
 * first two are comparable where the sides cover unequal times.
 */
export type Measure = "rate" | "share" | "total";

/** Sides of a comparison in which each value refers to the whole, without times: both sides of two files. */
export function sidesOf(f: { sum: number; baseSum: number }): Sides {
  return { sum: f.sum, seconds: 0, baseSum: f.baseSum, baseSeconds: 0 };
}

/** Part of a whole, 0 to 1; 0 of an empty whole. */
export function shareOf(value: number, whole: number): number {
  return whole > 0 ? value / whole : 0;
}

/** Value per second; 0 without covered time. */
export function rateOf(value: number, seconds: number): number {
  return seconds > 0 ? value / seconds : 0;
}

/** A pair of values of the comparison (B) and the baseline (A), in the same measure. */
export interface Pair {
  now: number;
  before: number;
}

/** Values of both sides in a measure, each by the sum or covered time of its own whole side. */
export function measured(total: number, baseTotal: number, sides: Sides, measure: Measure): Pair {
  if (measure === "rate")
    return { now: rateOf(total, sides.seconds), before: rateOf(baseTotal, sides.baseSeconds) };
  if (measure === "share")
    return { now: shareOf(total, sides.sum), before: shareOf(baseTotal, sides.baseSum) };
  return { now: total, before: baseTotal };
}

/** Strength of a change for colors: -1 (gone) to 1 (new), 0 is unchanged. */
export function changeStrength({ now, before }: Pair): number {
  return now + before === 0 ? 0 : (now - before) / (now + before);
}

/** B ÷ A; undefined without a baseline value. */
export function factorOf({ now, before }: Pair): number | undefined {
  return before > 0 ? now / before : undefined;
}

/** Whether the covered times of the sides differ by more than 5 %, so that their sums are not comparable. */
export function unequalTimes(sides: Sides): boolean {
  return Math.abs(sides.seconds - sides.baseSeconds) > 0.05 * Math.max(sides.seconds, sides.baseSeconds);
}
