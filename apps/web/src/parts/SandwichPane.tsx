import { type ReactNode, useEffect, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { formatValue } from "@cinderblock/flame";
import { useFlame } from "../api/use-flame.ts";
import { neighborsRequest } from "../api/wire.ts";
import type { FlameSource } from "../flame-worker.ts";
import { useValueUnit } from "../api/use-timeline.ts";
import { useApp } from "../state/app.tsx";
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
  const [paths, setPaths] = useState<{ up: string[]; down: string[] }>({ up: [], down: [] });
  useEffect(() => setPaths({ up: [], down: [] }), [fn]);
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
  const common = {
    unit: comparing?.unit ?? own,
    comparing,
    onSelect: (name: string) => go({ fn: name }, true),
    found: undefined,
    colour,
    palette: state.palette,
    overview: false,
  };
  return (
    <section
      className={q.isFetching ? "pane sandwich busy" : "pane sandwich"}
      aria-label={`Callers & callees of ${fn}`}
      aria-busy={q.isFetching || behind}
    >
      <Loading active={q.isFetching} />
      <PartialNotice reason={q.data?.partial ?? ""} />
      <h3>
        <code>{fn}</code>
      </h3>
      {laid ? (
        <>
          <p className="quiet">
            Callers, {formatValue(laid.flames[0]!.sum, common.unit)}
            {laid.flames[0]!.sum === 0 ? ": no samples of this function" : ""}
          </p>
          <FlameCanvas
            {...common}
            all={comparing?.sides.now.total ?? laid.flames[0]!.sum}
            flame={laid.flames[0]!}
            upwards
            focus={paths.up}
            onFocus={(up) => setPaths({ ...paths, up })}
            label={`Callers of ${fn}`}
            onSelect={() => undefined}
          />
          <p className="quiet">Callees</p>
          <FlameCanvas
            {...common}
            all={comparing?.sides.now.total ?? laid.flames[1]!.sum}
            flame={laid.flames[1]!}
            upwards={false}
            focus={paths.down}
            onFocus={(down) => setPaths({ ...paths, down })}
            label={`Callees of ${fn}`}
            onSelect={() => undefined}
          />
        </>
      ) : null}
    </section>
  );
}
