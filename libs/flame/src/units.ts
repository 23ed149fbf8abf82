import { changeFactor, type Pair } from "./comparison.ts";
import type { ValueUnit } from "./figures.ts";

const TIME: readonly [number, string][] = [
  [86400e9, "d"],
  [3600e9, "h"],
  [60e9, "min"],
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "µs"],
  [1, "ns"],
];
const BYTES: readonly [number, string][] = [
  [1024 ** 5, "PiB"],
  [1024 ** 4, "TiB"],
  [1024 ** 3, "GiB"],
  [1024 ** 2, "MiB"],
  [1024, "KiB"],
  [1, "B"],
];
const COUNT: readonly [number, string][] = [
  [1e12, " T"],
  [1e9, " G"],
  [1e6, " M"],
  [1e3, " k"],
  [1, ""],
];

/**
 * A value with its unit and three digits: `1.25 min`, `640 MiB`, `12.0 k`; as a rate `0.35 cores`, `640
 * MiB/s`, `12.0 k/s`; as an average `640 MiB avg`. A rate or an average over an unknown time is `…`.
 */
export function formatValue(value: number, unit: ValueUnit): string {
  if (typeof unit !== "string" && "snapshots" in unit)
    return Number.isNaN(unit.snapshots)
      ? "…"
      : `${formatValue(unit.snapshots > 0 ? value / unit.snapshots : 0, unit.unit)} avg`;
  if (typeof unit !== "string" && Number.isNaN(unit.seconds)) return "…";
  if (typeof unit !== "string" && unit.seconds <= 0) return formatValue(0, { ...unit, seconds: 1 });
  if (typeof unit !== "string")
    return unit.cores
      ? `${formatCores(value / 1e9 / unit.seconds)} cores`
      : `${formatValue(value / unit.seconds, unit.unit)}/s`;
  const table = unit === "nanoseconds" ? TIME : unit === "bytes" ? BYTES : COUNT;
  const [size, name] = table.find(([s]) => Math.abs(value) >= s) ?? table.at(-1)!;
  const v = value / size,
    digits =
      Number.isInteger(v) && Math.abs(v) < 1000 ? 0 : Math.abs(v) >= 100 ? 0 : Math.abs(v) >= 10 ? 1 : 2;
  return `${v.toFixed(digits)}${unit === "count" ? name : ` ${name}`}`;
}

/** A share of 1 as a percentage: `12.3 %`, `< 0.01 %`. */
export function formatShare(share: number): string {
  const p = share * 100;
  if (p === 0) return "0 %";
  if (Math.abs(p) < 0.01) return `${p < 0 ? "> −" : "< "}0.01 %`;
  return `${Math.abs(p) >= 10 ? p.toFixed(1) : p.toFixed(2)} %`;
}

/** A signed difference of shares in percentage points. */
export function formatChange(before: number, after: number): string {
  const d = (after - before) * 100;
  return `${d > 0 ? "+" : d < 0 ? "−" : "±"}${Math.abs(d) >= 10 ? Math.abs(d).toFixed(1) : Math.abs(d).toFixed(2)} pp`;
}

/** A factor with three digits: `×1.67`; `new` without a baseline value, `gone` without a value now. */
export function formatFactor(pair: Pair): string {
  if (pair.now === 0) return pair.before === 0 ? "–" : "gone";
  const factor = changeFactor(pair);
  if (factor === undefined) return "new";
  if (factor >= 10_000) return "×>9999";
  if (factor < 0.001) return "×<0.001";
  return `×${factor.toFixed(factor >= 100 ? 0 : factor >= 10 ? 1 : factor >= 0.1 ? 2 : 3)}`;
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
  return `${d > 0 ? "+" : d < 0 ? "−" : "±"}${formatValue(Math.abs(d), each).replace(/^< /, "<")}`;
}

/** A number of cores with at least two significant digits. */
export function formatCores(cores: number): string {
  return cores === 0
    ? "0"
    : cores >= 10
      ? cores.toFixed(1)
      : cores >= 0.1
        ? cores.toFixed(2)
        : cores >= 0.001
          ? cores.toFixed(4)
          : "< 0.001";
}
