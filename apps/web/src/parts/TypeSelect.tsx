import type { ReactNode } from "react";
import { useTypes } from "../api/use-types.ts";
import { useApp } from "../state/app.tsx";
import type { Side } from "../state/state.ts";
import { Icon } from "./Icon.tsx";
import { FAMILIES, namedTypes } from "../state/type-names.ts";

/** Menu of a selection's profile types, by family. */
export function TypeSelect({ side }: { side: Side }): ReactNode {
  const { state, go } = useApp();
  const { data } = useTypes(side);
  const types = data ?? [],
    named = namedTypes([...types, state.type]);
  return (
    <span className="type-select">
      <Icon name="type" />
      <label className="sr" htmlFor="type">
        Profile type
      </label>
      <select
        id="type"
        className="type"
        value={state.type}
        title={state.type}
        onChange={(e) => go({ type: e.target.value })}
      >
        {FAMILIES.map((family) => {
          const members = named.filter((t) => t.family === family);
          return members.length === 0 ? null : (
            <optgroup key={family} label={family}>
              {members.map((t) => (
                <option key={t.id} value={t.id} title={t.id}>
                  {data && !types.includes(t.id) ? `${t.name} – no samples` : t.name}
                </option>
              ))}
            </optgroup>
          );
        })}
      </select>
    </span>
  );
}
