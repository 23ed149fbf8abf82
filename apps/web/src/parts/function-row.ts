import { useQuery, type UseQueryResult } from "@tanstack/react-query";
import type { FunctionRow, Selection } from "../api/types.ts";
import { useApp } from "../state/app.tsx";

/** Exact values of one function, and the totals of both sides that its shares refer to. */
export function useFunctionRow(
  selection: Selection,
  baseline: Selection | undefined,
  fn: string,
): UseQueryResult<{ row: FunctionRow | undefined; total: number; baseTotal: number }> {
  const { client, can } = useApp();
  return useQuery({
    queryKey: ["function", client.tenant, selection, baseline, fn],
    enabled: fn !== "" && can?.explore === true,
    queryFn: async ({ signal }) => {
      const { value } = await client.functions(selection, baseline, "", "total", false, 1, signal, [fn]);
      return { row: value.rows[0], total: value.total, baseTotal: value.baseTotal };
    },
  });
}
