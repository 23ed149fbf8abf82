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

/** Series that a selector picks, by position. Values repeat: each (matcher, value) is decided once. */
export function selectSeries(series: readonly SourceSeries[], selector: Selector): number[] {
  const memo = selector.map(() => new Map<string, boolean>());
  const out: number[] = [];
  for (let i = 0; i < series.length; i++) {
    const { labels } = series[i]!;
    let all = true;
    for (let m = 0; m < selector.length && all; m++) {
      const matcher = selector[m]!;
      let value = "";
      for (const l of labels)
        if (l.name === matcher.name) {
          value = l.value;
          break;
        }
      let ok = memo[m]!.get(value);
      if (ok === undefined) {
        ok = matcher.matches(value);
        memo[m]!.set(value, ok);
      }
      all = ok;
    }
    if (all) out.push(i);
  }
  return out;
}
