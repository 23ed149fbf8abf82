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

/** Sums of a block's rows over fixed spans of time: one row per span, whose time is the start of the span. */
export interface CoarseRows {
  nanos: bigint;
  rows: RowSource;
}

/** Form of a source. A head and its block have one ULID and the same rows in different orders. */
export type SourceForm = "head" | "block";

/** A source of profiles of one tenant: a head in memory, or a block. */
export interface ProfileSource extends RowSource {
  readonly ulid: string;
  readonly form: SourceForm;
  /** current number of rows */
  readonly rowCount: number;
  readonly series: readonly SourceSeries[];
  /** downsampled tables, widest first */
  readonly coarse: readonly CoarseRows[];
  /** symbols of a partition, by its index */
  symbols(partition: number): Promise<{ tables: SymbolTables; flame: FlameIndex }>;
  /**
   * Adds `bytes` to the memory that is held as long as the source: owners that close sources for memory count
   * them.
   */
  hold?(bytes: number): void;
}

function valueOf(labels: Labels, name: string): string {
  for (const l of labels) if (l.name === name) return l.value;
  return "";
}

/** Series to match between two checks of the clock. */
const SERIES_AT_ONCE = 1024;

/**
 * Runs the regular expressions of a selector on new label values, with pauses, so that a later `selectSeries`
 * is fast. A regular expression may take milliseconds for one value.
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

/** Positions of the series that a selector matches. */
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
