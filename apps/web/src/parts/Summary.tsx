import type { ReactNode } from "react";
import { useApp } from "../state/app.tsx";
import { changeOfWhole, type ComparisonFigures, summaryOf } from "../state/compare.ts";
import { Failure } from "./Failure.tsx";
import { Icon } from "./Icon.tsx";

/** Figures of both complete sides of a comparison, and a notice where they mislead. */
export function Summary({
  comparing,
  isFetching,
  error,
  refetch,
}: {
  comparing: ComparisonFigures | undefined;
  isFetching: boolean;
  error: unknown;
  refetch: () => unknown;
}): ReactNode {
  const { state } = useApp();
  if (error && !comparing) return <Failure error={error} retry={() => void refetch()} />;
  if (!comparing) return <p className="summary" aria-busy={isFetching} />;
  const whole = changeOfWhole(comparing.sides.now.total, comparing.sides.before.total, comparing),
    direction = whole > 0.005 ? "up" : whole < -0.005 ? "down" : "";
  const { text, notice } = summaryOf(state.type, comparing);
  return (
    <p
      className={`summary ${direction}`}
      data-testid="sums"
      aria-busy={isFetching}
      title={`${text} ${notice}`.trim()}
    >
      <Icon name="trend" />
      <span className="ellipsis">
        {text}
        {notice === "" ? null : <strong> {notice}</strong>}
      </span>
    </p>
  );
}
