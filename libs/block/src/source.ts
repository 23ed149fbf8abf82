import type { Labels, Selector } from "@cinderblock/model";
import type { SymbolTables } from "@cinderblock/symdb";
import type { FlameIndex } from "./flame-index.ts";
import type { RowColumns, RowTable } from "./rows.ts";

/** A series of a source, with the exact times of its first and last profile. */
export interface SourceSeries { labels: Labels; fingerprint: bigint; minTimeNanos: bigint; maxTimeNanos: bigint }

/** Anything that holds profiles of one tenant: a head in memory or a block. */
export interface ProfileSource {
  readonly ulid: string;
  readonly series: readonly SourceSeries[];
  /** rows of series `index` with a time in [start, end], both inclusive, in a stable order; `rows` must be loaded */
  rowsOf(index: number, startNanos: bigint, endNanos: bigint): Uint32Array;
  /** loads the columns that `need` names */
  load(need: readonly RowColumns[]): Promise<RowTable>;
  /** symbols of a partition, by its position */
  symbols(partition: number): Promise<{ tables: SymbolTables; flame: FlameIndex }>;
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
      for (const l of labels) if (l.name === matcher.name) { value = l.value; break; }
      let ok = memo[m]!.get(value);
      if (ok === undefined) { ok = matcher.matches(value); memo[m]!.set(value, ok); }
      all = ok;
    }
    if (all) out.push(i);
  }
  return out;
}
