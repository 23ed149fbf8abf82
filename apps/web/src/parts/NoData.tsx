import type { ReactNode } from "react";
import { useTypes } from "../api/use-types.ts";
import { useApp } from "../state/app.tsx";
import { namedTypes } from "../state/type-names.ts";

/** Message of a selection without values, with the profile types that it has. */
export function NoData({ children }: { children?: ReactNode }): ReactNode {
  const { state, go } = useApp();
  const { data } = useTypes(state.side);
  const others = namedTypes(data ?? []).filter((t) => t.id !== state.type);
  return (
    <div className="nothing">
      <p>No data for this selection. {children}</p>
      {data?.length === 0 ? (
        <p>It has no profiles of any type: choose another time or other labels.</p>
      ) : null}
      {others.length > 0 && !data!.includes(state.type) ? (
        <p>
          It has{" "}
          {others.map((t) => (
            <button key={t.id} type="button" title={t.id} onClick={() => go({ type: t.id })}>
              {t.name}
            </button>
          ))}
        </p>
      ) : null}
    </div>
  );
}
