import type { ReactNode } from "react";
import type { Selection } from "../api/types.ts";
import { useApp } from "../state/app.tsx";
import { baselineOf, SIDE_NAMES, toCompareScreen } from "../state/compare.ts";
import { type Matcher, matcherText } from "../state/selector.ts";
import type { Side } from "../state/state.ts";
import { CompareWith } from "./CompareWith.tsx";
import { StackChips } from "./Chips.tsx";
import { IconButton } from "./Controls.tsx";
import { FilterBar } from "./FilterBar.tsx";
import { Icon } from "./Icon.tsx";
import { ServicePicker } from "./ServicePicker.tsx";
import { TimePicker } from "./TimePicker.tsx";
import { TopBar } from "./TopBar.tsx";
import { TypeSelect } from "./TypeSelect.tsx";

/** The bar of Explore: service, type, filters, time, refresh, Compare. */
export function ExploreBar({ selection }: { selection: Selection | undefined }): ReactNode {
  const { state, go } = useApp();
  return (
    <TopBar
      primary={
        <span className="split primary">
          <button
            type="button"
            className="primary compare-button"
            onClick={() => go(toCompareScreen(state))}
            title={
              state.baseline ? "Compare with the set baseline (c)" : "Compare with the previous period (c)"
            }
          >
            <Icon name="compare" />
            Compare
          </button>
          <CompareWith selection={selection} icon={<Icon name="down" size={12} />} />
        </span>
      }
    >
      <ServicePicker />
      <TypeSelect side={state.side} />
      <FilterBar
        side={state.side}
        onChange={(selector) => go({ side: { ...state.side, selector } })}
        name=""
        hidesService
      >
        <StackChips />
      </FilterBar>
      <TimePicker side={state.side} name="" onChange={(r) => go({ side: { ...state.side, ...r } })} />
    </TopBar>
  );
}

/** Matchers that both sides of a comparison have, and those of one side alone. */
function sharedMatchers(a: Side, b: Side): { both: Matcher[]; onlyA: Matcher[]; onlyB: Matcher[] } {
  const texts = (s: Side): Set<string> => new Set(s.selector.map(matcherText)),
    inA = texts(a),
    inB = texts(b);
  return {
    both: b.selector.filter((m) => inA.has(matcherText(m))),
    onlyA: a.selector.filter((m) => !inB.has(matcherText(m))),
    onlyB: b.selector.filter((m) => !inA.has(matcherText(m))),
  };
}

/** The bars of Compare: what both sides share, and each side's own filters and time. */
export function CompareBars(): ReactNode {
  const { state, go, nowMs } = useApp(),
    a = baselineOf(state, nowMs),
    b = state.side,
    { both, onlyA, onlyB } = sharedMatchers(a, b);
  const take = (change: { both?: Matcher[]; onlyA?: Matcher[]; onlyB?: Matcher[] }): void => {
    const shared = change.both ?? both;
    go({
      side: { ...b, selector: [...shared, ...(change.onlyB ?? onlyB)] },
      baseline: { ...a, selector: [...shared, ...(change.onlyA ?? onlyA)] },
    });
  };
  return (
    <>
      <TopBar>
        <ServicePicker />
        <TypeSelect side={b} />
        <FilterBar
          side={b}
          matchers={both}
          onChange={(m) => take({ both: m })}
          name="of both sides"
          hidesService
        >
          <StackChips />
        </FilterBar>
        <button type="button" title="Swap A and B" onClick={() => go({ side: a, baseline: b })}>
          <Icon name="swap" />
          <span className="wide-only">Swap</span>
          <span className="sr"> A and B</span>
        </button>
      </TopBar>
      <div className="sides">
        {(
          [
            ["A", a, onlyA, (m: Matcher[]) => take({ onlyA: m })],
            ["B", b, onlyB, (m: Matcher[]) => take({ onlyB: m })],
          ] as const
        ).map(([key, side, matchers, onChange]) => (
          <div key={key} className="side" role="group" aria-label={SIDE_NAMES[key]}>
            <span className={`badge side-${key.toLowerCase()}`}>{key}</span>
            <strong>{key === "A" ? "Baseline" : "Comparison"}</strong>
            <FilterBar side={side} matchers={matchers} onChange={onChange} name={SIDE_NAMES[key]} />
            <TimePicker
              side={side}
              name={SIDE_NAMES[key]}
              onChange={(r) =>
                go(key === "A" ? { baseline: { ...side, ...r } } : { side: { ...side, ...r } })
              }
            />
            <IconButton
              icon="open"
              name="Open in Explore"
              onClick={() => go({ screen: "explore", side, pane: state.pane })}
            />
          </div>
        ))}
      </div>
    </>
  );
}
