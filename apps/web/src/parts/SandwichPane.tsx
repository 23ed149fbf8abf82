import type { ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { type Flame, formatShare, formatValue } from "@cinderblock/flame";
import { useFlame } from "../api/use-flame.ts";
import { neighborsRequest } from "../api/wire.ts";
import type { FlameSource } from "../flame-worker.ts";
import { useValueUnit } from "../api/use-timeline.ts";
import { useApp } from "../state/app.tsx";
import { plural } from "../state/words.ts";
import { CopyButton } from "./CopyButton.tsx";
import { useFunctionRow } from "./function-row.ts";
import { Icon } from "./Icon.tsx";
import { Failure, Loading, PartialNotice } from "./Failure.tsx";
import { FlameCanvas } from "./FlameCanvas.tsx";
import { NODE_STEPS, type PaneProps } from "./tree.ts";

/** Callers (above) and callees (below) of one function, with exact values from the server. */
export function SandwichPane({ selection, baseline, comparing }: PaneProps): ReactNode {
  const { state, go, client, can } = useApp();
  const own = useValueUnit(selection);
  const { fn } = state;
  const q = useQuery({
    queryKey: ["neighbours", client.tenant, selection, baseline, fn],
    enabled: fn !== "" && can?.explore === true,
    queryFn: async ({ signal }) => {
      const { value, partial } = await client.binary(
        "cinderblock.explore.v1.ExploreService/FunctionNeighbours",
        neighborsRequest(selection, baseline, fn, NODE_STEPS[0]!),
        signal,
      );
      return { source: { kind: "neighbours", bytes: value } as FlameSource, partial };
    },
  });
  const { laid, error, behind } = useFlame(q.data?.source, state.collapsed, false);
  const { data: exact } = useFunctionRow(selection, baseline, fn);
  if (can && !can.explore)
    return <p className="partial">A plain Pyroscope v1 has no exact callers & callees.</p>;
  if (fn === "") return <p className="nothing">Select a function in the flame graph or in Top functions.</p>;
  if (q.error || error !== "")
    return <Failure error={q.error ?? new Error(error)} retry={() => void q.refetch()} />;
  const colour = baseline
    ? ("change" as const)
    : state.colour === "change"
      ? ("package" as const)
      : state.colour;
  const unit = comparing?.unit ?? own,
    all = comparing?.sides.now.total ?? exact?.total ?? laid?.flames[0]!.sum ?? 0,
    figures = (name: string, v: number): string =>
      `${name} ${formatValue(v, unit)} · ${formatShare(all > 0 ? v / all : 0)}`;
  const half = (flame: Flame, label: string, upwards: boolean): ReactNode => (
    <FlameCanvas
      flame={flame}
      unit={unit}
      comparing={comparing}
      all={all}
      found={undefined}
      colour={colour}
      palette={state.palette}
      overview={false}
      upwards={upwards}
      focus={[]}
      // The first names of a path are the function itself: any other frame becomes the pivot.
      onFocus={(path) => {
        if (path.length > 1) go({ fn: path.at(-1)! });
      }}
      onSelect={() => undefined}
      label={`${label} of ${fn}`}
    />
  );
  return (
    <section
      className={q.isFetching ? "pane sandwich busy" : "pane sandwich"}
      aria-label={`Callers & callees of ${fn}`}
      aria-busy={q.isFetching || behind}
    >
      <Loading active={q.isFetching} />
      <div className="pane-bar">
        <strong>Callers</strong>
        <span className="quiet">
          {laid?.flames[0]!.sum === 0
            ? "no samples of this function"
            : plural(direct(laid?.flames[0]), "direct caller")}
        </span>
        <span className="grow" />
        <PartialNotice reason={q.data?.partial ?? ""} />
        <span className="quiet">Click a frame to pivot to it</span>
      </div>
      <div className="half callers">{laid ? half(laid.flames[0]!, "Callers", true) : null}</div>
      <div className="pivot">
        <code className="ellipsis" title={fn}>
          {fn}
        </code>
        {exact?.row ? (
          <>
            <span>{figures("total", exact.row.total)}</span>
            <span>{figures("self", exact.row.self)}</span>
          </>
        ) : null}
        <span className="grow" />
        <button type="button" className="plain" onClick={() => go({ details: true }, true)}>
          <Icon name="info" /> Details
        </button>
        <CopyButton text={fn}>Copy name</CopyButton>
      </div>
      <div className="half callees">{laid ? half(laid.flames[1]!, "Callees", false) : null}</div>
      <footer className="coverage">
        <strong>Callees</strong>
        {plural(direct(laid?.flames[1]), "direct callee")}
      </footer>
    </section>
  );
}

/** Number of the calls next to the function: in a half, it is the only child of the root. */
function direct(flame: Flame | undefined): number {
  return flame && flame.children[0]! > 0 ? flame.children[flame.firstChild[0]!]! : 0;
}
