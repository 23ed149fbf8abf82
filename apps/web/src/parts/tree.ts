import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { Selection } from "../api/types.ts";
import { callTreeRequest } from "../api/wire.ts";
import type { FlameSource } from "../flame-worker.ts";
import { useApp } from "../state/app.tsx";

/** Number of nodes of the overview, and the larger steps when a visible part is cut off. */
export const NODES = [16_384, 65_536, 262_144, 1_048_576];

/** Selection of a pane; with a baseline, the pane shows a comparison. */
export interface PaneProps {
  selection: Selection;
  baseline: Selection | undefined;
}

/** A laid out call tree of the server. Requests more nodes while a visible part is cut off. */
export function useTree(
  selection: Selection,
  baseline: Selection | undefined,
  nodes: number,
  enabled: boolean,
): {
  query: { isFetching: boolean; error: unknown; refetch: () => unknown; partial: string };
  source: FlameSource | undefined;
} {
  const { client, can } = useApp();
  const q = useQuery({
    queryKey: ["tree", client.tenant, selection, baseline, nodes],
    enabled: enabled && can !== undefined,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }): Promise<{ source: FlameSource; partial: string }> => {
      if (!can!.explore) {
        const { value, partial } = await client.flamegraph(selection, nodes, signal);
        return { source: { kind: "levels", ...value }, partial };
      }
      const { value, partial } = await client.binary(
        "cinderblock.explore.v1.ExploreService/CallTree",
        callTreeRequest(selection, baseline, nodes),
        signal,
      );
      return { source: { kind: "tree", bytes: value }, partial };
    },
  });
  return {
    query: { isFetching: q.isFetching, error: q.error, refetch: q.refetch, partial: q.data?.partial ?? "" },
    source: q.data?.source,
  };
}
