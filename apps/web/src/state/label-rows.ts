import { type Figures, shareOf } from "@cinderblock/flame";
import type { Timeline } from "../api/types.ts";

/** A value of a label, with the figures of the selection that has this value. */
export interface LabelRow extends Figures {
  value: string;
  share: number;
}

/**
 * Rows of the labels pane, the largest first. With filters of functions, only values with samples remain.
 * @param timeline the window's time line, grouped by the label
 */
export function labelRows(
  timeline: Timeline | undefined,
  label: string,
  filtered: boolean,
): { rows: LabelRow[]; total: number } {
  const total = timeline?.total ?? 0;
  const rows = (timeline?.series ?? [])
    .filter((s) => !filtered || s.total > 0)
    .map((s) => ({
      value: s.labels[label] ?? "",
      total: s.total,
      coveredMs: s.coveredMs,
      intervalMs: s.intervalMs,
      share: shareOf(s.total, total),
    }))
    .sort((a, b) => b.total - a.total);
  return { rows, total };
}
