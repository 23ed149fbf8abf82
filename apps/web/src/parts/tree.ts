import { useRef } from "react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { keepAnswersOfType } from "../api/keeping-type.ts";
import { treeSource, V1_COMPARISON_NODES } from "../api/comparison.ts";
import type { Selection } from "../api/types.ts";
import type { FlameSource } from "../flame-worker.ts";
import { useApp } from "../state/app.tsx";
import type { ComparisonFigures } from "../state/compare.ts";
import { fetchDiffOnce } from "./sides.ts";

/** Number of nodes of the overview, and the larger steps when a visible part is cut off. */
export const NODE_STEPS = [V1_COMPARISON_NODES, 65_536, 262_144, 1_048_576];

/** Selection of a pane; with a baseline, the pane shows a comparison. */
export interface PaneProps {
  selection: Selection;
  baseline: Selection | undefined;
  /** figures of the comparison; undefined without a baseline, and while they are unknown */
  comparing: ComparisonFigures | undefined;
}

/** A laid out call tree of the server. Requests more nodes while a visible part is cut off. */
export function useCallTree(
  selection: Selection,
  baseline: Selection | undefined,
  nodes: number,
  enabled: boolean,
): {
  query: { isFetching: boolean; error: unknown; refetch: () => unknown; partial: string };
  source: FlameSource | undefined;
} {
  const { client, can } = useApp(),
    queries = useQueryClient();
  const q = useQuery({
    queryKey: ["tree", client.tenant, selection, baseline, nodes],
    enabled: enabled && can !== undefined,
    ...keepAnswersOfType(selection.type),
    queryFn: ({ signal }) => {
      const asked = {
        binary: client.binary.bind(client),
        diff: fetchDiffOnce(queries, client),
        flamegraph: client.flamegraph.bind(client),
      };
      return treeSource(asked, can!.explore, selection, baseline, nodes, signal);
    },
  });
  // A failed refresh leaves the picture of the same labels and filters, of the times before.
  const kind = JSON.stringify([
      client.tenant,
      nodes,
      [selection, baseline].map((x) => x && { ...x, startMs: 0, endMs: 0 }),
    ]),
    last = useRef<{ kind: string; source: FlameSource }>(undefined);
  if (q.data && !q.isPlaceholderData) last.current = { kind, source: q.data.source };
  const kept = q.error && last.current?.kind === kind ? last.current.source : undefined;
  return {
    query: { isFetching: q.isFetching, error: q.error, refetch: q.refetch, partial: q.data?.partial ?? "" },
    source: q.data?.source ?? kept,
  };
}
