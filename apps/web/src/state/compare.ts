import {
  type Basis,
  type Flame,
  formatChange,
  formatDelta,
  formatFactor,
  formatShare,
  formatValue,
  measureOf,
  pairOf,
  type Sides,
  haveUnequalTimes,
  unitOfType,
  type ValueUnit,
} from "@cinderblock/flame";
import type { Side, State } from "./state.ts";
import { formatLength, shiftRange } from "./time.ts";

/**
 * Baseline of a comparison: the set baseline, otherwise the labels of the current side in its previous period,
 * or `byMs` earlier.
 */
export function baselineOf(s: State, nowMs: number, byMs?: number): Side {
  if (s.baseline && byMs === undefined) return s.baseline;
  try {
    return {
      selector: s.side.selector,
      ...shiftRange(s.side, nowMs, s.zone, -1, byMs === undefined ? undefined : -byMs),
    };
  } catch {
    // The times of the side are invalid: compare the side with itself, and let the page report the times.
    return s.side;
  }
}

/** Names of the sides of a comparison. */
export const SIDE_NAMES = { A: "Baseline (A)", B: "Comparison (B)" } as const;

/** Change of a state that opens Compare, with the baseline that was set or the previous period. */
export function toCompareScreen(s: State): Partial<State> {
  return {
    screen: "compare",
    pane: s.pane === "labels" || s.pane === "profiles" ? "flame" : s.pane,
    profile: "",
    sort: s.sort === "total" ? "total-change" : s.sort === "self" ? "self-change" : s.sort,
  };
}

/**
 * Quantity that the screen shows. A comparison shows rates unless another was chosen, since totals of unequal
 * times mislead; shares exist in a comparison only.
 */
export function basisOf(s: State): Basis {
  if (s.screen === "compare") return s.basis === "" ? "rate" : s.basis;
  return s.basis === "rate" ? "rate" : "total";
}

/** Figures that every view of a comparison refers to, and how it prints values of each side. */
export interface ComparisonFigures {
  sides: Sides;
  basis: Basis;
  unit: ValueUnit;
  baseUnit: ValueUnit;
}

/** @param type ID of the profile type */
export function comparisonFigures(type: string, basis: Basis, sides: Sides): ComparisonFigures {
  const of = (side: Sides["now"]): ValueUnit => measureOf(type, basis === "rate", side);
  return { sides, basis, unit: of(sides.now), baseUnit: of(sides.before) };
}

/** Texts of one call or function in a comparison, by the figures of both whole sides. */
export interface ChangeTexts {
  share: string;
  baseShare: string;
  /** B − A: on the basis of shares in percentage points */
  delta: string;
  /** B ÷ A */
  factor: string;
  /** change of the share in percentage points */
  points: string;
}

export function changeTexts(total: number, baseTotal: number, c: ComparisonFigures): ChangeTexts {
  const share = pairOf(total, baseTotal, c.sides, "share"),
    pair = pairOf(total, baseTotal, c.sides, c.basis),
    points = formatChange(share.before, share.now);
  return {
    share: formatShare(share.now),
    baseShare: formatShare(share.before),
    delta: c.basis === "share" ? points : formatDelta(pair, c.unit),
    factor: formatFactor(pair),
    points,
  };
}

/** Change as a part of the larger whole side, on the comparison's basis: -1 to 1. */
export function changeOfWhole(total: number, baseTotal: number, { sides, basis }: ComparisonFigures): number {
  const pair = pairOf(total, baseTotal, sides, basis),
    whole = pairOf(sides.now.total, sides.before.total, sides, basis),
    most = Math.max(whole.now, whole.before);
  return most > 0 ? (pair.now - pair.before) / most : 0;
}

/** Shares of a box in the focused call, of both sides; undefined without a focus. */
export function sharesOfFocus(
  f: Flame,
  box: number,
  focus: number,
): { share: string; baseShare: string } | undefined {
  if (focus === 0) return undefined;
  const of = (column: Float64Array | undefined): string =>
    formatShare(column && column[focus]! > 0 ? column[box]! / column[focus]! : 0);
  return { share: of(f.total), baseShare: of(f.baseTotal) };
}

/**
 * Text of both whole sides of a comparison, each with its total and covered time, and a notice where the
 * figures mislead.
 */
export function summaryOf(type: string, c: ComparisonFigures): { text: string; notice: string } {
  const { now, before } = c.sides,
    rates = c.basis === "share" ? comparisonFigures(type, "rate", c.sides) : c,
    pair = pairOf(now.total, before.total, c.sides, rates.basis);
  const side = (name: string, f: Sides["now"], unit: ComparisonFigures["unit"]): string => {
    const covered = formatLength(f.coveredMs),
      sum = formatValue(f.total, unitOfType(type));
    // A sum of a gauge's snapshots has no meaning.
    return `${name} ${formatValue(f.total, unit)} (${c.sides.gauge || rates.basis === "total" ? covered : `${sum} in ${covered}`})`;
  };
  const text = `${side("A", before, rates.baseUnit)}, ${side("B", now, rates.unit)}: ${formatDelta(pair, rates.unit)}, ${formatFactor(pair)}; percentages are relative to each side's total.`;
  const ratio = Math.max(now.total, before.total) / Math.max(1, Math.min(now.total, before.total));
  const notice =
    now.total === 0 || before.total === 0
      ? `${now.total === 0 ? "B" : "A"} has no samples: everything is ${now.total === 0 ? "gone" : "new"}.`
      : rates.basis === "total" && !c.sides.gauge && haveUnequalTimes(c.sides)
        ? "The sides cover unequal times, so their totals are not comparable: switch to Rate."
        : ratio > 10
          ? `One side has ${ratio > 1000 ? "over 1000" : Math.round(ratio)} times the total of the other: small shares of the smaller one are noise.`
          : "";
  return { text, notice };
}
