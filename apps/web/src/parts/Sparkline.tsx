import type { ReactNode } from "react";

/** A small line chart of values; decoration next to a number. */
export function Sparkline({
  values,
  change,
}: {
  values: readonly number[];
  /** change that colors the line where it is above a tenth */
  change?: number | undefined;
}): ReactNode {
  const kind = (change ?? 0) > 0.1 ? " more" : (change ?? 0) < -0.1 ? " less" : "";
  const most = Math.max(...values, 0) || 1,
    step = 120 / Math.max(1, values.length - 1);
  const d = values
    .map((v, i) => `${i === 0 ? "M" : "L"}${(i * step).toFixed(1)} ${(22 - (v / most) * 20).toFixed(1)}`)
    .join("");
  return (
    <svg className={`spark${kind}`} viewBox="0 0 120 24" aria-hidden="true">
      <path d={`${d}L120 24L0 24Z`} className="spark-area" />
      <path d={d} className="spark-line" />
    </svg>
  );
}
