import type { ReactNode } from "react";

/** A small line chart of values; decoration next to a number. */
export function Sparkline({ values }: { values: readonly number[] }): ReactNode {
  const most = Math.max(...values, 0) || 1,
    step = 120 / Math.max(1, values.length - 1);
  const d = values
    .map((v, i) => `${i === 0 ? "M" : "L"}${(i * step).toFixed(1)} ${(22 - (v / most) * 20).toFixed(1)}`)
    .join("");
  return (
    <svg className="spark" viewBox="0 0 120 24" aria-hidden="true">
      <path d={`${d}L120 24L0 24Z`} className="spark-area" />
      <path d={d} className="spark-line" />
    </svg>
  );
}
