import { type Labels, parseSelector, type Selector, selectorMatches } from "@cinderblock/model";
import type { Rows } from "./source-block.ts";

/** Profiles of the series that a selector picks, with a time in [startMs, endMs], both inclusive. */
export interface Drop {
  selector: string;
  startMs: number;
  endMs: number;
}

interface Span {
  from: bigint;
  to: bigint;
}

/** The spans of time in which a series' rows are dropped. */
function spansOf(labels: Labels, drops: readonly { selector: Selector; span: Span }[]): Span[] {
  return drops.filter((d) => selectorMatches(d.selector, labels)).map((d) => d.span);
}

/** In nanoseconds, both inclusive: the last nanosecond of a millisecond, as a query's end has it. */
export const spanOf = (d: Drop): Span => ({
  from: BigInt(Math.trunc(d.startMs)) * 1_000_000n,
  to: BigInt(Math.trunc(d.endMs)) * 1_000_000n + 999_999n,
});

/** Whether a row is dropped; selectors are matched once for each series. */
export function droppedRows(
  series: readonly { labels: Labels }[],
  drops: readonly Drop[],
): (rank: number, rows: Rows, at: number) => boolean {
  if (drops.length === 0) return () => false;
  const parsed = drops.map((d) => ({ selector: parseSelector(d.selector), span: spanOf(d) }));
  const byRank = series.map((s) => spansOf(s.labels, parsed));
  return (rank, rows, at) => {
    const spans = byRank[rank]!;
    if (spans.length === 0) return false;
    const time = rows.time[at]!;
    return spans.some((s) => time >= s.from && time <= s.to);
  };
}
