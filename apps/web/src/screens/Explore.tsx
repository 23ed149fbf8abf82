import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { isCpuTime, isGauge, timelineStep } from "@cinderblock/flame";
import { withoutFocus } from "../api/comparison.ts";
import type { Selection } from "../api/types.ts";
import { FilterPresets, SelectorBar, StackChips } from "../parts/Chips.tsx";
import { TimelinePane, labelNamesQuery } from "../parts/TimelinePane.tsx";
import { Drawer } from "../parts/Drawer.tsx";
import { ExportDialog } from "../parts/Export.tsx";
import { Failure, Loading } from "../parts/Failure.tsx";
import type { FlameHandle } from "../parts/FlameCanvas.tsx";
import { FlamePane } from "../parts/FlamePane.tsx";
import { GraphPane } from "../parts/Graph.tsx";
import { LabelsPane } from "../parts/LabelsPane.tsx";
import { ProfilesPane } from "../parts/Profiles.tsx";
import { SandwichPane } from "../parts/SandwichPane.tsx";
import { TablePane } from "../parts/TablePane.tsx";
import { TimePicker } from "../parts/TimePicker.tsx";
import { TreePane } from "../parts/TreePane.tsx";
import { TypeSelect } from "../parts/TypeSelect.tsx";
import { useTypes } from "../api/use-types.ts";
import { useComparisonFigures } from "../parts/sides.ts";
import { SIDE_NAMES } from "../state/compare.ts";
import { Summary } from "../parts/Summary.tsx";
import { useApp } from "../state/app.tsx";
import { baselineOf, basisOf, toCompareScreen } from "../state/compare.ts";
import { parseSelector, selectorOf, selectorText } from "../state/selector.ts";
import { initialState, type Pane, type Side, type State } from "../state/state.ts";
import { firstType } from "../state/type-names.ts";
import { VERSION_LABELS, versionPair } from "../state/versions.ts";
import { formatLength, isRelative, shiftRange } from "../state/time.ts";

/** Views of a selection, in the order of their keys. */
export const PANES: readonly [Pane, string][] = [
  ["flame", "Flame graph"],
  ["table", "Top functions"],
  ["tree", "Call tree"],
  ["sandwich", "Callers & callees"],
  ["graph", "Call graph"],
  ["labels", "Labels"],
  ["profiles", "Profiles"],
];
/** Whether a view exists: a comparison has neither labels nor single profiles. */
function isShown(pane: Pane, compare: boolean): boolean {
  return !compare || (pane !== "labels" && pane !== "profiles");
}
/**
 * Choices of a comparison's baseline: distance into the past in milliseconds; undefined: the range's own
 * length.
 */
const BEFORE: readonly [label: string, ms: number | undefined][] = [
  ["Previous period", undefined],
  ["1 h earlier", 36e5],
  ["1 d earlier", 864e5],
  ["1 w earlier", 6048e5],
];

/** State change that compares a part of a range with the longer of the parts before and after it. */
function comparedPart(s: State, { startMs, endMs }: Selection, from: number, until: number): Partial<State> {
  const before = from - startMs > endMs - until;
  return {
    ...toCompareScreen(s),
    side: { ...s.side, from: String(from), until: String(until) },
    baseline: {
      selector: s.side.selector,
      from: String(before ? startMs : until),
      until: String(before ? from : endMs),
    },
  };
}

const PINNED = "cinderblock.baseline";
/** The selection pinned in this browser for comparisons. */
function pinnedBaseline(): Side | undefined {
  try {
    const s = JSON.parse(localStorage.getItem(PINNED) ?? "null") as {
      selector: string;
      from: string;
      until: string;
    } | null;
    return s ? { selector: parseSelector(s.selector), from: s.from, until: s.until } : undefined;
  } catch {
    return undefined;
  } // stored settings of another version, or invalid ones
}

/** Explore one selection, or compare two: the same screen. */
export function Explore({ compare }: { compare: boolean }): ReactNode {
  const app = useApp();
  const { state, go, nowMs, selection: selectionOf } = app;
  const selection = selectionOf(state.side),
    baselineSide = baselineOf(state, nowMs),
    baseline = compare ? selectionOf(baselineSide) : undefined;
  const handle = useRef<FlameHandle>(null),
    other = useRef<FlameHandle>(null),
    searchBox = useRef<HTMLInputElement>(null);
  const [exporting, setExporting] = useState(false),
    [pinned, setPinned] = useState(pinnedBaseline);
  // Keeps the same objects for the same query, so panes send it again only when it changes.
  const a = useStable(selection),
    b = useStable(baseline);
  // A focus is a zoom of the graph and the tree: no figure of a comparison changes with it.
  const whole = useStable(a && compare ? withoutFocus(a) : a),
    wholeBase = useStable(b && withoutFocus(b));
  const { comparing, ...sides } = useComparisonFigures(a, b);
  useOpeningType();

  useEffect(() => {
    const key = (e: KeyboardEvent): void => {
      if (
        e.ctrlKey ||
        e.metaKey ||
        e.altKey ||
        (e.target as HTMLElement).matches("input, select, textarea") ||
        document.querySelector("dialog[open]")
      )
        return;
      const fn = state.fn !== "" ? state.fn : (handle.current?.current() ?? "");
      const filter = (kind: "only" | "without" | "hide") => () => {
        if (app.can?.explore && fn !== "" && !state.stacks[kind].includes(fn))
          go({ stacks: { ...state.stacks, [kind]: [...state.stacks[kind], fn] } });
      };
      const act: Record<string, () => void> = {
        "/": () => searchBox.current?.focus(),
        n: () => handle.current?.next(1),
        N: () => handle.current?.next(-1),
        s: () => go({ pane: "sandwich" }),
        i: () => go({ inverted: !state.inverted }, true),
        r: () => go({ collapsed: !state.collapsed }, true),
        o: filter("only"),
        x: filter("without"),
        h: filter("hide"),
        c: () => go(toCompareScreen(state)),
        e: () => setExporting(true),
        "[": () => go({ side: { ...state.side, ...shiftRange(state.side, nowMs, state.zone, -1) } }),
        "]": () => go({ side: { ...state.side, ...shiftRange(state.side, nowMs, state.zone, 1) } }),
      };
      PANES.forEach(([pane], i) => {
        if (isShown(pane, compare)) act[String(i + 1)] = () => go({ pane });
      });
      if (!act[e.key]) return;
      e.preventDefault();
      act[e.key]!();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, [state, go, nowMs, app.can, compare]);

  const names = useQuery({
    ...labelNamesQuery(app.client, a ?? { selector: "{}", startMs: 0, endMs: 0 }),
    enabled: a !== undefined && !compare,
  });
  const versions = VERSION_LABELS.filter((l) => names.data?.includes(l));
  const [noVersion, setNoVersion] = useState("");
  const compareVersions = async (label: string): Promise<void> => {
    if (!a) return;
    const rest = state.side.selector.filter((m) => m.name !== label),
      current = state.side.selector.find((m) => m.name === label && m.op === "=")?.value;
    // Search for the previous version first in a near range with fine steps. Then search the longest range of
    // one query, because a release may last for weeks.
    const length = a.endMs - a.startMs,
      most = (app.can?.maxQueryLengthMs ?? 0) > 0 ? app.can!.maxQueryLengthMs : Infinity;
    try {
      for (const back of [length * 4, 4 * 6048e5]) {
        const fromMs = Math.min(a.startMs, a.endMs - Math.min(back, most) + 1000),
          stepS = timelineStep(a.endMs - fromMs, 0, 400);
        const { value } = await app.client.series(
          a.type,
          selectorOf(rest),
          fromMs,
          a.endMs,
          stepS,
          [label],
          0,
        );
        const pair = versionPair(value, label, current, a.startMs, a.endMs, stepS * 1000);
        if (!pair) {
          setNoVersion(`No previous ${label} in the last ${formatLength(a.endMs - fromMs)}.`);
          continue;
        }
        const of = (v: string): Side["selector"] => [...rest, { name: label, op: "=", value: v }];
        setNoVersion("");
        go({
          ...toCompareScreen(state),
          side: { ...state.side, selector: of(pair.now) },
          baseline: {
            selector: of(pair.before),
            from: String(Math.round(pair.fromMs)),
            until: String(Math.round(pair.untilMs)),
          },
        });
        return;
      }
    } catch (err) {
      setNoVersion((err as Error).message);
    }
  };
  // Checks the tenant's longest range before the query, instead of waiting for an error.
  const tooLong =
    app.can !== undefined &&
    app.can.maxQueryLengthMs > 0 &&
    [a, b].some((s) => s && s.endMs - s.startMs > app.can!.maxQueryLengthMs);
  const service = state.side.selector.find((m) => m.name === "service_name" && m.op === "=")?.value;
  return (
    <div className="explore">
      <h1 className="sr">
        {compare ? "Compare" : "Explore"} {service ?? ""}
      </h1>
      <SideBar
        side={state.side}
        name={compare ? SIDE_NAMES.B : ""}
        onChange={(side) => go({ side })}
        compare={compare}
        which="side"
      >
        <TypeSelect side={state.side} />
        {compare ? (
          <button type="button" onClick={() => go({ side: baselineSide, baseline: state.side })}>
            Swap A and B
          </button>
        ) : (
          <span className="compare-with">
            <button
              type="button"
              className="primary"
              onClick={() => go(toCompareScreen(state))}
              title={
                state.baseline ? "Compare with the set baseline (c)" : "Compare with the previous period (c)"
              }
            >
              Compare
            </button>
            <label className="sr" htmlFor="compare-with">
              Compare with
            </label>
            <select
              id="compare-with"
              value=""
              onChange={(e) => {
                const k = BEFORE[Number(e.target.value)];
                if (e.target.value === "pin" && a) {
                  localStorage.setItem(
                    PINNED,
                    JSON.stringify({
                      selector: selectorText(state.side.selector),
                      from: String(a.startMs),
                      until: String(a.endMs),
                    }),
                  );
                  setPinned(pinnedBaseline());
                } else if (e.target.value.startsWith("version:"))
                  void compareVersions(e.target.value.slice(8));
                else if (e.target.value === "pinned" && pinned)
                  go({ ...toCompareScreen(state), baseline: pinned });
                else if (e.target.value !== "" && k)
                  go({
                    ...toCompareScreen(state),
                    baseline: k[1] === undefined ? undefined : baselineOf(state, nowMs, k[1]),
                  });
              }}
            >
              <option value="">Compare with…</option>
              {BEFORE.map(([label], i) => (
                <option key={label} value={i}>
                  {label}
                </option>
              ))}
              {versions.map((l) => (
                <option key={l} value={`version:${l}`}>
                  Previous {l}
                </option>
              ))}
              {pinned ? (
                <option value="pinned">Pinned baseline: {selectorText(pinned.selector) || "all"}</option>
              ) : null}
              <option value="pin">Pin as baseline</option>
            </select>
            {noVersion !== "" ? (
              <span className="quiet" role="status">
                {noVersion}
              </span>
            ) : null}
          </span>
        )}
        <button type="button" onClick={() => setExporting(true)}>
          Export
        </button>
      </SideBar>
      {compare ? (
        <SideBar
          side={baselineSide}
          name={SIDE_NAMES.A}
          onChange={(x) => go({ baseline: x })}
          compare
          which="baseline"
        />
      ) : null}
      <StackChips />
      {app.can === undefined ? (
        <Loading active />
      ) : tooLong ? (
        <TooLong maxMs={app.can.maxQueryLengthMs} />
      ) : a && (!compare || b) ? (
        <>
          <TimelinePane
            selection={whole!}
            baseline={wholeBase}
            onPart={(from, until) => go((s) => comparedPart(s, a, from, until))}
          />
          {compare ? <Summary comparing={comparing} {...sides} /> : null}
          <div className="toolbar">
            <div role="tablist" aria-label="Views">
              {PANES.filter(([p]) => isShown(p, compare)).map(([pane, name], i) => (
                <button
                  key={pane}
                  type="button"
                  role="tab"
                  id={`tab-${pane}`}
                  aria-selected={state.pane === pane}
                  aria-controls="pane"
                  tabIndex={state.pane === pane ? 0 : -1}
                  title={`${name} (${i + 1})`}
                  onClick={() => go({ pane })}
                  onKeyDown={(e) => {
                    const by = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
                    if (by !== 0) {
                      const next =
                        PANES[
                          (PANES.findIndex(([p]) => p === state.pane) + by + PANES.length) % PANES.length
                        ]![0];
                      go({ pane: next });
                      document.getElementById(`tab-${next}`)?.focus();
                    }
                  }}
                >
                  {name}
                </button>
              ))}
            </div>
            {state.pane === "flame" || state.pane === "table" ? (
              <>
                <label className="sr" htmlFor="search">
                  Search functions
                </label>
                <input
                  id="search"
                  ref={searchBox}
                  type="search"
                  placeholder="Search functions or /regex/"
                  value={state.search}
                  onChange={(e) => go({ search: e.target.value }, true)}
                  onKeyDown={(e) => {
                    if (e.key === "Enter") {
                      handle.current?.next(e.shiftKey ? -1 : 1);
                      e.preventDefault();
                    } else if (e.key === "Escape") {
                      go({ search: "" }, true);
                      e.currentTarget.blur();
                    }
                  }}
                />
              </>
            ) : null}
            {state.pane === "flame" ? (
              <>
                {compare ? null : (
                  <>
                    <label className="sr" htmlFor="colour">
                      Colors
                    </label>
                    <select
                      id="colour"
                      value={state.colour === "change" ? "package" : state.colour}
                      onChange={(e) => go({ colour: e.target.value as State["colour"] }, true)}
                    >
                      <option value="package">Colors: package</option>
                      <option value="value">Colors: value</option>
                    </select>
                  </>
                )}
                {compare ? (
                  <label className="check">
                    <input
                      type="checkbox"
                      checked={state.beside}
                      onChange={(e) => go({ beside: e.target.checked }, true)}
                    />{" "}
                    Side by side
                  </label>
                ) : null}
                <select
                  aria-label="Orientation"
                  value={state.upwards ? "flame" : "icicle"}
                  onChange={(e) => go({ upwards: e.target.value === "flame" }, true)}
                >
                  <option value="icicle">Icicle (root at top)</option>
                  <option value="flame">Flame (root at bottom)</option>
                </select>
              </>
            ) : null}
            {state.pane === "flame" || state.pane === "tree" ? (
              <label className="check">
                <input
                  type="checkbox"
                  checked={state.inverted}
                  onChange={(e) => go({ inverted: e.target.checked }, true)}
                />{" "}
                Invert (bottom-up)
              </label>
            ) : null}
            {state.pane === "profiles" ? null : isGauge(state.type) && !compare ? (
              <span className="quiet" data-testid="averaged" title="Average of the snapshots">
                Avg
              </span>
            ) : (
              <>
                <label className="sr" htmlFor="values">
                  Measure
                </label>
                <select
                  id="values"
                  value={basisOf(state)}
                  onChange={(e) => go({ basis: e.target.value as State["basis"] }, true)}
                >
                  {isGauge(state.type) ? null : <option value="total">Total</option>}
                  <option value="rate">
                    {isGauge(state.type) ? "Avg" : isCpuTime(state.type) ? "Rate (cores)" : "Rate"}
                  </option>
                  {compare ? <option value="share">Share</option> : null}
                </select>
              </>
            )}
            {app.can.explore && state.pane !== "labels" && state.pane !== "profiles" ? (
              <FilterPresets />
            ) : null}
            {state.pane === "labels" ||
            state.pane === "table" ||
            state.pane === "graph" ||
            state.pane === "profiles" ? null : (
              <label className="check">
                <input
                  type="checkbox"
                  checked={state.collapsed}
                  onChange={(e) => go({ collapsed: e.target.checked }, true)}
                />{" "}
                Collapse recursion
              </label>
            )}
          </div>
          <div className="with-drawer">
            <div id="pane" className="pane-host" role="tabpanel" aria-labelledby={`tab-${state.pane}`}>
              {state.pane === "flame" && b && state.beside ? (
                <div className="beside">
                  <div>
                    <h3>{SIDE_NAMES.A}</h3>
                    <FlamePane
                      selection={b}
                      baseline={undefined}
                      comparing={undefined}
                      side={comparing && { unit: comparing.baseUnit, total: comparing.sides.before.total }}
                      handle={other}
                      label="Flame graph of A"
                    />
                  </div>
                  <div>
                    <h3>{SIDE_NAMES.B}</h3>
                    <FlamePane
                      selection={a}
                      baseline={undefined}
                      comparing={undefined}
                      side={comparing && { unit: comparing.unit, total: comparing.sides.now.total }}
                      handle={handle}
                      label="Flame graph of B"
                    />
                  </div>
                </div>
              ) : state.pane === "flame" ? (
                <FlamePane selection={a} baseline={b} comparing={comparing} handle={handle} />
              ) : state.pane === "table" ? (
                <TablePane selection={whole!} baseline={wholeBase} comparing={comparing} />
              ) : state.pane === "tree" ? (
                <TreePane selection={a} baseline={b} comparing={comparing} />
              ) : state.pane === "sandwich" ? (
                <SandwichPane selection={whole!} baseline={wholeBase} comparing={comparing} />
              ) : state.pane === "graph" ? (
                <GraphPane selection={whole!} baseline={wholeBase} comparing={comparing} />
              ) : state.pane === "profiles" ? (
                <ProfilesPane selection={a} />
              ) : (
                <LabelsPane selection={whole!} />
              )}
            </div>
            <Drawer selection={whole!} baseline={wholeBase} comparing={comparing} />
          </div>
        </>
      ) : (
        <Failure error={new Error("Invalid time range: From must be before To.")} />
      )}
      {exporting && a ? (
        <ExportDialog selection={a} handle={handle} onClose={() => setExporting(false)} />
      ) : null}
    </div>
  );
}

/**
 * Opens a service on a profile type that it has, where the address names none. Later answers for the same
 * labels change nothing: a service that pauses keeps its type.
 */
function useOpeningType(): void {
  const { state, go } = useApp(),
    { data, isPlaceholderData } = useTypes(state.side),
    labels = `${state.tenant} ${selectorText(state.side.selector)}`,
    decided = useRef("");
  useEffect(() => {
    if (!data || data.length === 0 || isPlaceholderData || decided.current === labels) return;
    decided.current = labels;
    if (state.type === initialState.type && !data.includes(state.type)) go({ type: firstType(data)! }, true);
  }, [data, isPlaceholderData, labels, state.type, go]);
}

/** Message for a range above the tenant's limit, with the longest allowed range. */
function TooLong({ maxMs }: { maxMs: number }): ReactNode {
  const { state, go, range } = useApp();
  const until = range(state.side)?.[1];
  return (
    <div className="failure" role="alert">
      <strong>Time range exceeds the limit of {formatLength(maxMs)}</strong>
      <p>The limit is max_query_length of this tenant.</p>
      {until !== undefined ? (
        <button
          type="button"
          onClick={() =>
            go({
              side: {
                ...state.side,
                from:
                  isRelative(state.side.from) && state.side.until === "now"
                    ? `now-${Math.floor(maxMs / 1000)}s`
                    : String(Math.round(until - maxMs)),
                until:
                  isRelative(state.side.from) && state.side.until === "now"
                    ? "now"
                    : String(Math.round(until)),
              },
            })
          }
        >
          Show last {formatLength(maxMs)}
        </button>
      ) : null}
    </div>
  );
}

/** Returns the same object while the content is equal. */
function useStable<T>(value: T): T {
  const text = JSON.stringify(value);
  return useMemo(() => value, [text]);
}

function SideBar({
  side,
  name,
  onChange,
  compare,
  which,
  children,
}: {
  side: Side;
  name: string;
  onChange: (s: Side) => void;
  compare: boolean;
  which: "side" | "baseline";
  children?: ReactNode;
}): ReactNode {
  const { state, go } = useApp();
  return (
    <div
      className={compare ? `side side-${which}` : "side"}
      role="group"
      aria-label={name === "" ? "Selection" : name}
    >
      {compare ? <strong className="side-name">{name}</strong> : null}
      <SelectorBar side={side} name={name} onChange={(selector) => onChange({ ...side, selector })} />
      <TimePicker side={side} name={name} onChange={(r) => onChange({ ...side, ...r })} />
      {children}
      {compare ? (
        <button type="button" onClick={() => go({ screen: "explore", side, pane: state.pane })}>
          Open in Explore
        </button>
      ) : null}
    </div>
  );
}
