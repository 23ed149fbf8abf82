import type { ReactNode } from "react";
import { useApp } from "../state/app.tsx";
import { type ComparisonFigures, summaryOf } from "../state/compare.ts";
import { Failure } from "./Failure.tsx";

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
  if (error) return <Failure error={error} retry={() => void refetch()} />;
  if (!comparing) return <p className="quiet" aria-busy={isFetching} />;
  const { text, notice } = summaryOf(state.type, comparing);
  return (
    <p className={notice === "" ? "quiet" : "partial"} data-testid="sums" aria-busy={isFetching}>
      {text}
      {notice === "" ? "" : ` ${notice}`}
    </p>
  );
}
