import type { Pace } from "@cinderblock/async";
import type { Labels, Selector } from "@cinderblock/model";
import type { SymbolTables } from "@cinderblock/symdb";
import type { FlameIndex } from "./flame-index.ts";
import type { RowSource } from "./rows.ts";

/** A series of a source, with the exact times of its first and last profile. */
export interface SourceSeries {
  labels: Labels;
  fingerprint: bigint;
  minTimeNanos: bigint;
  maxTimeNanos: bigint;
}

/** Sums of a block's rows by fixed spans of time, as a row each with the time at which the span begins. */
export interface CoarseRows {
  nanos: bigint;
  rows: RowSource;
}

/** A head and the block that it becomes have one ULID and the same rows, in another order. */
export type SourceForm = "head" | "block";

/** Anything that holds profiles of one tenant: a head in memory or a block. */
export interface ProfileSource extends RowSource {
  readonly ulid: string;
  readonly form: SourceForm;
  /** rows that there are now */
  readonly rowCount: number;
  readonly series: readonly SourceSeries[];
  /** downsampled tables, widest first */
  readonly coarse: readonly CoarseRows[];
  /** symbols of a partition, by its position */
  symbols(partition: number): Promise<{ tables: SymbolTables; flame: FlameIndex }>;
  /** So many bytes more are kept as long as the source is: whoever closes sources for their memory counts them. */
  hold?(bytes: number): void;
}

function valueOf(labels: Labels, name: string): string {
  for (const l of labels) if (l.name === name) return l.value;
  return "";
}

/** Series that are looked at between two looks at the clock. */
const SERIES_AT_ONCE = 1024;

/**
 * Runs the regular expressions of a selector for the values that they have not seen, with pauses, so that `selectSeries`
 * takes no time afterwards. A regular expression may need milliseconds for one value.
 */
export async function matchValues(
  series: readonly SourceSeries[],
  selector: Selector,
  pace: Pace,
): Promise<void> {
  const costly = selector.filter((m) => m.hasPattern);
  if (costly.length === 0) return;
  for (let i = 0; i < series.length; i++) {
    if (i % SERIES_AT_ONCE === 0 && pace.due()) await pace.next();
    for (const m of costly) {
      const value = valueOf(series[i]!.labels, m.name);
      if (!m.isCostly(value)) continue;
      if (pace.due()) await pace.next();
      m.matches(value);
    }
  }
}

/** Series that a selector picks, by position. */
export function selectSeries(series: readonly SourceSeries[], selector: Selector): number[] {
  const out: number[] = [];
  for (let i = 0; i < series.length; i++) {
    const { labels } = series[i]!;
    let all = true;
    for (let m = 0; m < selector.length && all; m++) {
      const matcher = selector[m]!;
      all = matcher.matches(valueOf(labels, matcher.name));
    }
    if (all) out.push(i);
  }
  return out;
}
