import type { ReactNode } from "react";
import { useApp } from "../state/app.tsx";
import { Icon } from "./Icon.tsx";

/** Number of shown ends of a long focus: the first ones are in an ellipsis. */
const SHOWN = 3;

/** The path of the focus: each caller is a step back out. */
export function Breadcrumb(): ReactNode {
  const { state, go } = useApp(),
    path = state.inverted ? [] : state.stacks.callSite;
  if (path.length === 0) return null;
  const to = (length: number): void =>
    go((s) => ({ stacks: { ...s.stacks, callSite: s.stacks.callSite.slice(0, length) } }));
  const first = Math.max(0, path.length - SHOWN);
  return (
    <nav className="breadcrumb" aria-label="Focus">
      <button type="button" className="link" onClick={() => to(0)}>
        total
      </button>
      {first > 0 ? <span className="quiet"> › …</span> : null}
      {path.slice(first).map((name, i) => {
        const length = first + i + 1;
        return (
          <span key={length} className="crumb">
            <span className="quiet">›</span>
            {length < path.length ? (
              <button type="button" className="link ellipsis" title={name} onClick={() => to(length)}>
                {name}
              </button>
            ) : (
              <strong className="ellipsis" title={name} aria-current="true">
                {name}
              </strong>
            )}
          </span>
        );
      })}
      <button
        type="button"
        className="plain"
        aria-label="Remove focus"
        title="Remove focus"
        onClick={() => to(0)}
      >
        <Icon name="close" size={12} />
      </button>
    </nav>
  );
}
