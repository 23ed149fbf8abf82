import { type Labels, parseSelector, type Selector, selectorMatches } from "@cinderblock/model";
import type { RowBatch } from "./source-block.ts";

/**
 * A selection of profiles to drop: series that a selector matches, times in [startMs, endMs], both inclusive.
 */
export interface RowSelection {
  selector: string;
  startMs: number;
  endMs: number;
}

interface Span {
  from: bigint;
  to: bigint;
}

/** Time spans in which a series' rows are dropped. */
function spansOf(labels: Labels, drops: readonly { selector: Selector; span: Span }[]): Span[] {
  return drops.filter((d) => selectorMatches(d.selector, labels)).map((d) => d.span);
}

/**
 * Time span of a drop in nanoseconds, both inclusive: it ends with the last nanosecond of `endMs`, like a
 * query.
 */
export const nanosOfSelection = (d: RowSelection): Span => ({
  from: BigInt(Math.trunc(d.startMs)) * 1_000_000n,
  to: BigInt(Math.trunc(d.endMs)) * 1_000_000n + 999_999n,
});

/** Returns a function that decides whether to drop a row; matches the selectors once per series. */
export function rowDropper(
  series: readonly { labels: Labels }[],
  drops: readonly RowSelection[],
): (rank: number, rows: RowBatch, at: number) => boolean {
  if (drops.length === 0) return () => false;
  const parsed = drops.map((d) => ({ selector: parseSelector(d.selector), span: nanosOfSelection(d) }));
  const byRank = series.map((s) => spansOf(s.labels, parsed));
  return (rank, rows, at) => {
    const spans = byRank[rank]!;
    if (spans.length === 0) return false;
    const time = rows.time[at]!;
    return spans.some((s) => time >= s.from && time <= s.to);
  };
}
