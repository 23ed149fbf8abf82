import { useMemo } from "react";
import { type QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import { keepAnswersOfType } from "../api/keeping-type.ts";
import { fetchSides, withoutStackFilters } from "../api/comparison.ts";
import type { Client } from "../api/client.ts";
import type { Selection } from "../api/types.ts";
import { useApp } from "../state/app.tsx";
import { basisOf, type ComparisonFigures, comparisonFigures } from "../state/compare.ts";

/** The client's `diff`, with one request for the graph and the totals of the same sides. */
export function fetchDiffOnce(queries: QueryClient, client: Client): Client["diff"] {
  return (s, baseline, nodes) =>
    queries.fetchQuery({
      queryKey: ["diff", client.tenant, withoutStackFilters(s), withoutStackFilters(baseline), nodes],
      queryFn: ({ signal }) => client.diff(s, baseline, nodes, signal),
    });
}

/** Figures of both whole sides of the comparison on the screen; undefined while they are unknown. */
export function useComparisonFigures(
  selection: Selection | undefined,
  baseline: Selection | undefined,
): { comparing: ComparisonFigures | undefined; isFetching: boolean; error: unknown; refetch: () => unknown } {
  const { state, client, can } = useApp(),
    queries = useQueryClient(),
    a = selection && withoutStackFilters(selection),
    b = baseline && withoutStackFilters(baseline),
    basis = basisOf(state);
  const q = useQuery({
    queryKey: ["sides", client.tenant, a, b],
    enabled: can !== undefined && a !== undefined && b !== undefined,
    ...keepAnswersOfType(a?.type ?? ""),
    queryFn: async ({ signal }) => {
      const asked = {
        diff: fetchDiffOnce(queries, client),
        functions: client.functions.bind(client),
        timeline: client.timeline.bind(client),
      };
      return { type: a!.type, ...(await fetchSides(asked, can!.explore, a!, b!, signal)) };
    },
  });
  const answer = baseline ? q.data : undefined;
  const comparing = useMemo(
    () => answer && comparisonFigures(answer.type, basis, answer.value),
    [answer, basis],
  );
  return { comparing, isFetching: q.isFetching, error: q.error, refetch: q.refetch };
}
