/**
 * The one definition of every figure that the server and the web UI print: covered time, interval, total,
 * rate, average, share, and the step of a time line.
 */

/** Unit of a profile type's values. */
export type Unit = "nanoseconds" | "bytes" | "count";

/** Unit of a sample type's values, from pprof's unit name. */
export function unitOf(sampleUnit: string): Unit {
  return sampleUnit === "nanoseconds" ? "nanoseconds" : sampleUnit === "bytes" ? "bytes" : "count";
}

/**
 * Values of a time range as values per second: CPU time in cores, wall and off-CPU time in threads, other time
 * in milliseconds per second.
 */
interface Rate {
  unit: Unit;
  seconds: number;
  /** what one second per second is, where it has a name */
  workers: "cores" | "threads" | undefined;
}

/** Values of snapshots as their average. */
interface Average {
  unit: Unit;
  snapshots: number;
}

/** Interval of profiles where no series has two of them: the push interval of most agents. */
export const UNKNOWN_INTERVAL_MS = 15_000;

/** Figures of a selection of profiles. Filters of functions change the total, but neither time. */
export interface Figures {
  /** sum of the values */
  total: number;
  /** length of the union of the times that the profiles cover */
  coveredMs: number;
  /** median distance of successive profiles in a series */
  intervalMs: number;
}

/**
 * Median of the distances between successive profiles of each series. Profiles of one time, such as the parts
 * of a split upload, count as one.
 */
export function intervalOf(distances: readonly number[] | Float64Array): number {
  const sorted = Float64Array.from(distances)
    .filter((d) => d > 0)
    .sort();
  return sorted.length === 0 ? UNKNOWN_INTERVAL_MS : sorted[(sorted.length - 1) >> 1]!;
}

/**
 * Time that a profile covers: back to the previous profile of its series. After a longer pause, or at the
 * start of a series, it covers one interval.
 */
export function coveredSpan(distanceMs: number | undefined, intervalMs: number): number {
  return distanceMs !== undefined && distanceMs <= 2 * intervalMs ? distanceMs : intervalMs;
}

/** Disjoint spans of time in ascending order. */
export interface Spans {
  from: Float64Array;
  to: Float64Array;
}

/** Union of spans of time, in any order. */
export function unionOfSpans(from: Float64Array, to: Float64Array): Spans {
  const order = Uint32Array.from(from, (_, i) => i);
  let ascending = true;
  for (let i = 1; i < from.length; i++) ascending &&= from[i - 1]! <= from[i]!;
  if (!ascending) order.sort((a, b) => from[a]! - from[b]!);
  const out = { from: new Float64Array(from.length), to: new Float64Array(from.length) };
  let n = 0;
  for (const i of order) {
    if (to[i]! <= from[i]!) continue;
    if (n > 0 && from[i]! <= out.to[n - 1]!) out.to[n - 1] = Math.max(out.to[n - 1]!, to[i]!);
    else {
      out.from[n] = from[i]!;
      out.to[n++] = to[i]!;
    }
  }
  return { from: out.from.slice(0, n), to: out.to.slice(0, n) };
}

/** Total length of disjoint spans. */
export function totalLength({ from, to }: Spans): number {
  let sum = 0;
  for (let i = 0; i < from.length; i++) sum += to[i]! - from[i]!;
  return sum;
}

/** Steps of a time line in seconds. */
const STEPS = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 10_800, 21_600, 86_400];
/** Maximum number of points of a time line. */
const TIMELINE_POINTS = 300;

/**
 * Step of a time line in seconds: at least the interval of the profiles to 5 %, because a shorter step would
 * show steady load as spikes and zeros, and at most `points` points.
 */
export function timelineStep(lengthMs: number, intervalMs: number, points = TIMELINE_POINTS): number {
  const fits = (s: number): boolean => s * 1050 >= intervalMs && s * points * 1000 >= lengthMs;
  return (
    STEPS.find(fits) ?? Math.ceil(Math.max(lengthMs / points, intervalMs / 1.05) / 86_400_000) * STEPS.at(-1)!
  );
}

/**
 * Whether values of a profile type are states at an instant, such as memory in use. Their sum over time has no
 * meaning: only the average of the snapshots has.
 * @param type ID of a profile type: name, sample type, sample unit, period type, period unit
 */
export function isGauge(type: string): boolean {
  return /^[^:]*:(inuse(_.*)?|live(_.*)?|goroutines?|threads?|threadcreate):/.test(type);
}

/** Unit of a profile type's values. */
export function unitOfType(type: string): Unit {
  return unitOf(type.split(":")[2] ?? "");
}

/** Value per second; 0 without covered time. */
export function rateOf(value: number, seconds: number): number {
  return seconds > 0 ? value / seconds : 0;
}

/** Average of a gauge's snapshots: the sum of the averages of all series. */
export function averageOf(value: number, { coveredMs, intervalMs }: Omit<Figures, "total">): number {
  return coveredMs > 0 ? (value * intervalMs) / coveredMs : 0;
}

/** Part of a whole, 0 to 1; 0 of an empty whole. */
export function shareOf(value: number, whole: number): number {
  return whole > 0 ? value / whole : 0;
}

/** Form in which a value is printed: the value, its rate, or its average over the snapshots. */
export type ValueUnit = Unit | Rate | Average;

/**
 * Measure of a selection's values. A gauge has an average only; other types have a total and a rate. While the
 * covered time is unknown, rates and averages are printed as "…".
 */
export function measureOf(
  type: string,
  rate: boolean,
  figures: Omit<Figures, "total"> | undefined,
): ValueUnit {
  const unit = unitOfType(type);
  if (isGauge(type))
    return {
      unit,
      snapshots: !figures ? NaN : figures.intervalMs > 0 ? figures.coveredMs / figures.intervalMs : 0,
    };
  return rate ? { unit, seconds: figures ? figures.coveredMs / 1000 : NaN, workers: workersOf(type) } : unit;
}

/** Measure of a time line's heights, which are rates already; heights of a gauge are averages. */
export function heightMeasure(type: string): ValueUnit {
  const unit = unitOfType(type);
  return isGauge(type) ? { unit, snapshots: 1 } : { unit, seconds: 1, workers: workersOf(type) };
}

/** Height of a time line in a step: its value per covered time, or the average of its snapshots. */
export function heightOf(type: string, value: number, coveredMs: number, intervalMs: number): number {
  return isGauge(type) ? averageOf(value, { coveredMs, intervalMs }) : rateOf(value, coveredMs / 1000);
}

/** Unit of a profile type's seconds per second, where it has a name. */
function workersOf(type: string): "cores" | "threads" | undefined {
  return isCpuTime(type)
    ? "cores"
    : /^[^:]*:(wall|off_cpu):nanoseconds(:|$)/.test(type)
      ? "threads"
      : undefined;
}

/** Whether a profile type is CPU time, whose rate is a number of cores. */
export function isCpuTime(type: string): boolean {
  return /^process_cpu:cpu:nanoseconds(:|$)/.test(type);
}
