import { useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useApp } from "../state/app.tsx";
import { selectorOf } from "../state/selector.ts";
import type { Side } from "../state/state.ts";

/** Profile types of a selection: of the series with its labels in its time range. */
export function useTypes(side: Side): UseQueryResult<string[]> {
  const { client, range, can } = useApp(),
    r = range(side),
    selector = selectorOf(side.selector);
  return useQuery({
    queryKey: ["types", client.tenant, selector, r],
    enabled: r !== undefined && can !== undefined,
    // While an answer is loading: types of the same labels in another range stay; types of other labels
    // go, because their profiles may not exist.
    placeholderData: (previous, query) =>
      query?.queryKey[1] === client.tenant && query.queryKey[2] === selector ? previous : undefined,
    queryFn: ({ signal }) => client.profileTypes(selector, Math.round(r![0]), Math.round(r![1]), signal),
  });
}
