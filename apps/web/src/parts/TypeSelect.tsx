import type { ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { useApp } from "../state/app.tsx";

/** Readable name of `process_cpu:cpu:nanoseconds:cpu:nanoseconds`. */
function typeName(id: string): string {
  const [name, sample, unit] = id.split(":");
  return `${name === "process_cpu" ? "" : `${name} `}${sample} (${unit})`;
}

/** Menu of the profile types that have samples in the time range. */
export function TypeSelect(): ReactNode {
  const { state, go, client, range } = useApp();
  const r = range(state.side);
  const q = useQuery({
    queryKey: ["types", client.tenant, r],
    enabled: r !== undefined,
    queryFn: ({ signal }) => client.profileTypes(Math.round(r![0]), Math.round(r![1]), signal),
  });
  const types = q.data ?? [];
  return (
    <>
      <label className="sr" htmlFor="type">
        Profile type
      </label>
      <select id="type" value={state.type} onChange={(e) => go({ type: e.target.value })}>
        {types.includes(state.type) ? null : (
          <option value={state.type}>
            {typeName(state.type)}
            {q.data ? " – no samples" : ""}
          </option>
        )}
        {types.map((t) => (
          <option key={t} value={t}>
            {typeName(t)}
          </option>
        ))}
      </select>
    </>
  );
}
