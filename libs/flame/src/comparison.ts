import type { Figures } from "./figures.ts";

/**
 * Figures of both complete sides of a comparison, the denominators of each of its figures: of the comparison
 * (B) and of the baseline (A).
 */
export interface Sides {
  now: Figures;
  before: Figures;
  /** whether values are states at an instant, which a sum over time does not describe */
  gauge: boolean;
}

/**
 * Quantity to compare: value per second of covered time (of a gauge the average), share of the side's whole
 * total, or total. Only the first two are comparable where the sides cover unequal times.
 */
export type Basis = "rate" | "share" | "total";

/** A value of the comparison (B) and one of the baseline (A), on the same basis. */
export interface Pair {
  now: number;
  before: number;
}

/** Sides of two trees without times, such as two files: each value refers to its own root. */
export function sidesOf(f: { sum: number; baseSum: number }): Sides {
  const side = (total: number): Figures => ({ total, coveredMs: 0, intervalMs: 0 });
  return { now: side(f.sum), before: side(f.baseSum), gauge: false };
}

/** Divisor that brings a side's values to a basis; infinite for a side without a total or covered time. */
function divisorOf(f: Figures, basis: Basis, gauge: boolean): number {
  const divisor =
    basis === "share"
      ? f.total
      : gauge
        ? f.coveredMs / f.intervalMs
        : basis === "rate"
          ? f.coveredMs / 1000
          : 1;
  return divisor > 0 ? divisor : Infinity;
}

/** Divisors of both sides, for many values. */
export function divisorsOf(sides: Sides, basis: Basis): Pair {
  return {
    now: divisorOf(sides.now, basis, sides.gauge),
    before: divisorOf(sides.before, basis, sides.gauge),
  };
}

/** Values of both sides on a basis, each by the figures of its own whole side. */
export function pairOf(total: number, baseTotal: number, sides: Sides, basis: Basis): Pair {
  const divisors = divisorsOf(sides, basis);
  return { now: total / divisors.now, before: baseTotal / divisors.before };
}

/** Strength of a change for colors: -1 (gone) to 1 (new), 0 is unchanged. */
export function changeStrength(now: number, before: number): number {
  return now + before === 0 ? 0 : (now - before) / (now + before);
}

/** B ÷ A; undefined without a baseline value. */
export function changeFactor({ now, before }: Pair): number | undefined {
  return before > 0 ? now / before : undefined;
}

/** Whether the covered times of the sides differ by more than 5 %, so that their totals are not comparable. */
export function haveUnequalTimes({ now, before }: Sides): boolean {
  return Math.abs(now.coveredMs - before.coveredMs) > 0.05 * Math.max(now.coveredMs, before.coveredMs);
}
