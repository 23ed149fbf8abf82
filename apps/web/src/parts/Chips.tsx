import type { ReactNode } from "react";
import { useApp } from "../state/app.tsx";
import { hiddenOf, FILTER_PRESETS } from "../state/presets.ts";
import type { StackFilters } from "../state/state.ts";
import { IconSelect } from "./Controls.tsx";
import { Icon } from "./Icon.tsx";

/** One filter: removable, invertible where inversion makes sense, reachable by keyboard. */
export function Chip({
  kind,
  text,
  onRemove,
  onInvert,
  onEdit,
}: {
  kind: string;
  text: string;
  onRemove: () => void;
  onInvert?: () => void;
  onEdit?: () => void;
}): ReactNode {
  return (
    <li className={`chip chip-${kind}`}>
      {onEdit ? (
        <button type="button" className="chip-text" onClick={onEdit} title="Edit">
          {text}
        </button>
      ) : (
        <span className="chip-text">{text}</span>
      )}
      {onInvert ? (
        <button type="button" aria-label={`Invert ${text}`} title="Invert" onClick={onInvert}>
          <span aria-hidden="true">≠</span>
        </button>
      ) : null}
      <button type="button" aria-label={`Remove ${text}`} title="Remove" onClick={onRemove}>
        <Icon name="close" size={12} />
      </button>
    </li>
  );
}

/** Menu of frequent function filters; each choice adds ordinary chips. */
export function FilterPresets(): ReactNode {
  const { state, go } = useApp();
  const { stacks } = state,
    hidden = (patterns: readonly string[]): boolean => patterns.every((p) => stacks.hide.includes(p));
  return (
    <IconSelect
      icon="hide"
      name="Hide frames"
      value=""
      onChange={(value) => {
        const chosen = FILTER_PRESETS.find(([name]) => name === value);
        if (chosen)
          go({
            stacks: { ...stacks, hide: [...stacks.hide.filter((h) => !chosen[1].includes(h)), ...chosen[1]] },
          });
      }}
    >
      <option value="">Hide frames…</option>
      {FILTER_PRESETS.map(([name, patterns]) => (
        <option key={name} value={name} disabled={hidden(patterns)}>
          {name}
        </option>
      ))}
    </IconSelect>
  );
}

/** Filters of functions, and the chosen profile; the focus is in the breadcrumb of the graph. */
export function StackChips(): ReactNode {
  const { state, go, can } = useApp();
  const { stacks } = state;
  const filters = stacks.only.length + stacks.without.length + stacks.hide.length;
  const set = (change: Partial<StackFilters>): void => go({ stacks: { ...stacks, ...change } });
  const without = (list: string[], f: string): string[] => list.filter((x) => x !== f);
  if (filters === 0 && state.profile === "") return null;
  return (
    <ul className="chips" aria-label="Stacks">
      {state.profile !== "" ? (
        <Chip
          kind="profile"
          text={`Profile ${state.profile.slice(0, 8)}`}
          onRemove={() => go({ profile: "" })}
        />
      ) : null}
      {stacks.only.map((f) => (
        <Chip
          key={f}
          kind="frame"
          text={`Contains ${f}`}
          onRemove={() => set({ only: without(stacks.only, f) })}
          onInvert={() => set({ only: without(stacks.only, f), without: [...stacks.without, f] })}
        />
      ))}
      {stacks.without.map((f) => (
        <Chip
          key={f}
          kind="frame"
          text={`Excludes ${f}`}
          onRemove={() => set({ without: without(stacks.without, f) })}
          onInvert={() => set({ without: without(stacks.without, f), only: [...stacks.only, f] })}
        />
      ))}
      {hiddenOf(stacks.hide).map(({ name, frames }) => (
        <Chip
          key={name}
          kind="frame"
          text={`Hidden: ${name}`}
          onRemove={() => set({ hide: stacks.hide.filter((f) => !frames.includes(f)) })}
        />
      ))}
      {can?.explore === false && filters > 0 ? (
        <li className="quiet">Not applied: a plain Pyroscope v1 has no function filters</li>
      ) : null}
    </ul>
  );
}
