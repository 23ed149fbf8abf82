import type { Labels } from "@cinderblock/model";
import { compareLabels } from "@cinderblock/model";
import type { RowBatch, RowStream, SourceBlock, StreamBounds } from "./source-block.ts";

/** A series in the union of the sources' series, in label order: rank -> series. */
export interface MergedSeries {
  labels: Labels;
  fingerprint: bigint;
}

/** Merges the series of all sources; `ranks[s][i]` is the rank of series i of source s. */
export function mergeSeries(sources: readonly SourceBlock[]): {
  series: MergedSeries[];
  ranks: Uint32Array[];
} {
  const ranks = sources.map((s) => new Uint32Array(s.series.length));
  const at = sources.map(() => 0);
  const series: MergedSeries[] = [];
  for (;;) {
    let least = -1;
    for (let s = 0; s < sources.length; s++) {
      const here = sources[s]!.series[at[s]!];
      if (here && (least < 0 || compareLabels(here.labels, sources[least]!.series[at[least]!]!.labels) < 0))
        least = s;
    }
    if (least < 0) return { series, ranks };
    const { labels, fingerprint } = sources[least]!.series[at[least]!]!;
    for (let s = 0; s < sources.length; s++) {
      const here = sources[s]!.series[at[s]!];
      if (here && (s === least || compareLabels(here.labels, labels) === 0))
        ranks[s]![at[s]!++] = series.length;
    }
    series.push({ labels, fingerprint });
  }
}

/** A row of the merge: row `at` of `rows`, number `row` of source `source`. */
export interface MergedRow {
  source: number;
  row: number;
  rank: number;
  rows: RowBatch;
  at: number;
}

/** Stands for the rows before the first `next`, which nothing reads. */
const NO_ROWS = undefined as unknown as RowBatch;

interface Position {
  stream: RowStream;
  rows: RowBatch | undefined;
  at: number;
  row: number;
  series: number;
  left: number;
}

/**
 * Iterates over the rows of all sources in ascending (series, time). Rows with equal keys follow each other
 * in the order of their sources.
 */
export class MergeWalk {
  private readonly positions: Position[];
  private readonly sources: readonly SourceBlock[];
  private readonly ranks: readonly Uint32Array[];
  /** current row: the row that the last call of `next` found */
  readonly current: MergedRow = { source: -1, row: 0, rank: 0, rows: NO_ROWS, at: 0 };

  constructor(
    sources: readonly SourceBlock[],
    ranks: readonly Uint32Array[],
    all: boolean,
    bounds: StreamBounds,
  ) {
    this.sources = sources;
    this.ranks = ranks;
    this.positions = sources.map((s) => ({
      stream: s.rows(all, bounds),
      rows: undefined,
      at: 0,
      row: 0,
      series: 0,
      left: s.series[0]?.rows ?? 0,
    }));
  }

  /** Moves to the next row; false at the end. Waits only when a source must read more. */
  async next(): Promise<boolean> {
    const { current, positions } = this;
    if (current.source < 0) for (const p of positions) p.rows = await p.stream.next();
    else await this.advance(current.source);
    let least = -1,
      rank = 0;
    for (let s = 0; s < positions.length; s++) {
      const p = positions[s]!;
      if (!p.rows) continue;
      const r = this.ranks[s]![p.series]!;
      if (least >= 0) {
        if (r > rank) continue;
        if (r === rank) {
          const q = positions[least]!;
          const a = p.rows.timeHigh[p.at]!,
            b = q.rows!.timeHigh[q.at]!;
          if (a > b || (a === b && p.rows.timeLow[p.at]! >= q.rows!.timeLow[q.at]!)) continue;
        }
      }
      least = s;
      rank = r;
    }
    if (least < 0) return false;
    const p = positions[least]!;
    current.source = least;
    current.row = p.row;
    current.rank = rank;
    current.rows = p.rows!;
    current.at = p.at;
    return true;
  }

  private async advance(source: number): Promise<void> {
    const p = this.positions[source]!;
    p.row++;
    p.left--;
    if (p.left === 0) {
      p.series++;
      p.left = this.sources[source]!.series[p.series]?.rows ?? 0;
    }
    if (++p.at < p.rows!.length) return;
    p.at = 0;
    p.rows = await p.stream.next();
  }
}
