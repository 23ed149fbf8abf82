import { changeFactor, type Pair } from "./comparison.ts";
import type { Unit, ValueUnit } from "./figures.ts";

/** Sizes of a unit with their names, in descending order. */
type Sizes = readonly (readonly [size: number, name: string])[];

const TIME: Sizes = [
  [86400e9, "d"],
  [3600e9, "h"],
  [60e9, "min"],
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "µs"],
  [1, "ns"],
];
const BYTES: Sizes = [
  [1024 ** 5, "PiB"],
  [1024 ** 4, "TiB"],
  [1024 ** 3, "GiB"],
  [1024 ** 2, "MiB"],
  [1024, "KiB"],
  [1, "B"],
];
/** Smaller counts have all of their digits. */
const COUNT: Sizes = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1, ""],
];

/** Size and name of the one unit of a column of rates. */
type Scale = readonly [size: number, name: string];

/** A whole number with separators of thousands: `18,259`. */
export function formatCount(n: number): string {
  return Math.round(n)
    .toFixed(0)
    .replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A number with three digits, or with all digits before the point: `0.179`, `2.46`, `18.7`, `412`, `18,259`. */
function threeDigits(v: number): string {
  const a = Math.abs(v);
  if (v === 0) return "0";
  if (a < 0.001) return "<0.001";
  return a >= 99.95 ? formatCount(v) : v.toFixed(a >= 9.995 ? 1 : a >= 0.9995 ? 2 : 3);
}

/** Least value that a unit prints: 1.00, or less where the next smaller unit would need a fourth digit. */
function leastOf(sizes: Sizes, i: number): number {
  const size = sizes[i]![0],
    smaller = sizes[i + 1]?.[0];
  if (smaller === undefined) return 0;
  return sizes === COUNT && smaller === 1 ? size - 0.5 : Math.min(0.9995 * size, 999.5 * smaller);
}
function scaleOf(value: number, unit: Unit): Scale {
  const sizes = unit === "nanoseconds" ? TIME : unit === "bytes" ? BYTES : COUNT;
  return sizes.find((_, i) => Math.abs(value) >= leastOf(sizes, i))!;
}
function inScale(value: number, [size, name]: Scale): string {
  // A whole number of the smallest unit has no fraction.
  const digits = size === 1 && Number.isInteger(value) ? formatCount(value) : threeDigits(value / size);
  return name === "" ? digits : `${digits} ${name}`;
}

/**
 * The one unit of a column of rates: that of its largest one. Undefined where each value has a unit of its own,
 * or where the unit has one size only.
 */
export function columnScale(
  cells: readonly (readonly [value: number, unit: ValueUnit])[],
): Scale | undefined {
  let largest = 0,
    unit: Unit | undefined;
  for (const [value, u] of cells)
    if (typeof u !== "string" && "seconds" in u && u.unit !== "nanoseconds" && u.seconds > 0) {
      unit = u.unit;
      largest = Math.max(largest, Math.abs(value) / u.seconds);
    }
  return unit && scaleOf(largest, unit);
}

/**
 * A value with its unit and three digits: `1.25 min`, `640 MiB`, `18,259`; as a rate `0.350 cores`, `640 MiB/s`,
 * `12,000/s`; as an average `640 MiB avg`. A rate or an average over an unknown time is `…`.
 * @param scale unit of the column of rates that the value stands in
 */
export function formatValue(value: number, unit: ValueUnit, scale?: Scale): string {
  if (typeof unit === "string") return inScale(value, scaleOf(value, unit));
  if ("snapshots" in unit)
    return Number.isNaN(unit.snapshots)
      ? "…"
      : `${formatValue(unit.snapshots > 0 ? value / unit.snapshots : 0, unit.unit)} avg`;
  if (Number.isNaN(unit.seconds)) return "…";
  const rate = unit.seconds > 0 ? value / unit.seconds : 0;
  if (unit.unit === "nanoseconds")
    return unit.workers ? `${threeDigits(rate / 1e9)} ${unit.workers}` : `${threeDigits(rate / 1e6)} ms/s`;
  return `${inScale(rate, scale ?? scaleOf(rate, unit.unit))}/s`;
}

/** A percentage with three digits, at most two of them behind the point. */
function percentage(p: number): string {
  return p >= 99.95 ? formatCount(p) : p >= 9.995 ? p.toFixed(1) : p.toFixed(2);
}

/** A share of 1 as a percentage: `12.3%`, `<0.01%`. */
export function formatShare(share: number): string {
  const p = share * 100;
  return p === 0 ? "0%" : p < 0.01 ? "<0.01%" : `${percentage(p)}%`;
}

/** A difference with its sign. */
function signed(d: number, text: string): string {
  return `${d > 0 ? "+" : d < 0 ? "−" : "±"}${text}`;
}

/** A signed difference of shares in percentage points. */
export function formatChange(before: number, after: number): string {
  const d = (after - before) * 100,
    p = Math.abs(d);
  return `${signed(d, p === 0 ? "0" : p < 0.01 ? "<0.01" : percentage(p))} pp`;
}

/** A relative change as a signed percentage: `+66.7%`. */
export function formatRelative(change: number): string {
  return signed(change, formatShare(Math.abs(change)));
}

/** A factor with three digits: `×1.67`; `new` without a baseline value, `gone` without a value now. */
export function formatFactor(pair: Pair): string {
  if (pair.now === 0) return pair.before === 0 ? "–" : "gone";
  const factor = changeFactor(pair);
  if (factor === undefined) return "new";
  return factor >= 10_000 ? "×>9999" : `×${threeDigits(factor)}`;
}

/** A signed difference of a pair: of rates per second, of averages per snapshot. */
export function formatDelta({ now, before }: Pair, unit: ValueUnit): string {
  const d = now - before,
    each =
      typeof unit === "string"
        ? unit
        : "snapshots" in unit
          ? { ...unit, snapshots: 1 }
          : { ...unit, seconds: 1 };
  return signed(d, formatValue(Math.abs(d), each));
}
