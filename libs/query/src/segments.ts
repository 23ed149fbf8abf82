import type { ProfileSource, RowColumns, RowSource, RowTable } from "@cinderblock/block";
import type { Selector } from "@cinderblock/model";
import type { Exclusion } from "./duplicates.ts";
import { type SelectedSeries, type SelectRequest, selectRows } from "./select.ts";

/** Rows of one table of a source that a query sums. */
export interface Segment {
  rows: RowSource;
  selected: SelectedSeries[];
}

/**
 * Covers [from, to] (nanoseconds) with the widest tables whose spans fit completely, and the edges with finer
 * tables, down to single rows (undefined).
 */
export function tablesCoveringRange(
  from: bigint,
  to: bigint,
  widths: readonly bigint[],
): { table: number | undefined; from: bigint; to: bigint }[] {
  const out: { table: number | undefined; from: bigint; to: bigint }[] = [];
  const cover = (a: bigint, b: bigint, level: number): void => {
    if (a > b) return;
    const width = widths[level];
    if (width === undefined) {
      out.push({ table: undefined, from: a, to: b });
      return;
    }
    const first = ((a + width - 1n) / width) * width,
      end = ((b + 1n) / width) * width;
    if (a < 0n || first >= end) {
      cover(a, b, level + 1);
      return;
    }
    cover(a, first - 1n, level + 1);
    out.push({ table: level, from: first, to: end - 1n });
    cover(end, b, level + 1);
  };
  cover(from, to, 0);
  return out;
}

/**
 * Segments of a source for a query that only sums samples: downsampled tables for complete spans of time,
 * rows for the edges. Uses only rows if some are excluded (`exclude`), or if the query needs single ones
 * (`exact`).
 */
export async function segmentsOf(
  source: ProfileSource,
  selector: Selector,
  from: bigint,
  to: bigint,
  exclude: Exclusion | undefined,
  exact: boolean,
  shard?: SelectRequest["shard"],
): Promise<Segment[]> {
  const usesCoarse =
    !exact && source.coarse.length > 0 && !(exclude && (exclude.rows.length > 0 || exclude.upTo >= 0));
  // The source's own times bound the range to cover.
  let least = to,
    most = from;
  if (usesCoarse)
    for (const s of source.series) {
      if (s.minTimeNanos < least) least = s.minTimeNanos;
      if (s.maxTimeNanos > most) most = s.maxTimeNanos;
    }
  const out: Segment[] = [];
  for (const part of usesCoarse
    ? tablesCoveringRange(
        from,
        to,
        source.coarse.map((c) => c.nanos),
      )
    : [{ table: undefined, from, to }]) {
    if (usesCoarse && (part.to < least || part.from > most)) continue;
    const rows = part.table === undefined ? source : source.coarse[part.table]!.rows;
    await rows.load(["keys"]);
    const selected = selectRows(source, selector, part.from, part.to, exclude, rows, shard);
    if (selected.length > 0) out.push({ rows, selected });
  }
  return out;
}

/** Batches of selected rows that fit into memory together. */
export function* batchesOf(
  selected: readonly SelectedSeries[],
  batchRows: number,
): Generator<SelectedSeries[]> {
  let batch: SelectedSeries[] = [],
    room = batchRows;
  for (const s of selected) {
    for (let at = 0; at < s.rows.length; ) {
      const n = Math.min(room, s.rows.length - at);
      batch.push(n === s.rows.length ? s : { index: s.index, rows: s.rows.subarray(at, at + n) });
      at += n;
      room -= n;
      if (room === 0) {
        yield batch;
        batch = [];
        room = batchRows;
      }
    }
  }
  if (batch.length > 0) yield batch;
}

/**
 * Visits the rows of a segment with their samples loaded. If the samples exceed one batch, each batch is
 * released before the next.
 */
export async function visitBatches(
  { rows, selected }: Segment,
  need: readonly RowColumns[],
  visit: (table: RowTable, batch: readonly SelectedSeries[]) => void,
): Promise<void> {
  let batches = 0;
  for (const batch of batchesOf(selected, rows.batchRows)) {
    if (batches++ > 0) rows.release();
    visit(await rows.load(need, batch), batch);
  }
  if (batches > 1) rows.release();
}
