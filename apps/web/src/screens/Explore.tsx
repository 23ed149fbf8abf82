import { lazy, type ReactNode, type RefObject, Suspense, useEffect, useMemo, useRef, useState } from "react";
import { withoutFocus } from "../api/comparison.ts";
import type { Selection } from "../api/types.ts";
import { useTypes } from "../api/use-types.ts";
import { Failure, Loading } from "../parts/Failure.tsx";
import type { FlameHandle } from "../parts/FlameCanvas.tsx";
import { FlamePane } from "../parts/FlamePane.tsx";
import { CompareBars, ExploreBar } from "../parts/QueryBar.tsx";
import { useComparisonFigures } from "../parts/sides.ts";
import { Split } from "../parts/Split.tsx";
import { Summary } from "../parts/Summary.tsx";
import { TablePane } from "../parts/TablePane.tsx";
import { TimelinePane } from "../parts/TimelinePane.tsx";
import { isShown, PANES, ViewBar } from "../parts/ViewBar.tsx";
import { useNarrow } from "../parts/narrow.ts";
import { useApp } from "../state/app.tsx";
import { baselineOf, type ComparisonFigures, SIDE_NAMES, toCompareScreen } from "../state/compare.ts";
import { selectorText } from "../state/selector.ts";
import { initialState, type State } from "../state/state.ts";
import { formatLength, isRelative, shiftRange } from "../state/time.ts";
import { firstType } from "../state/type-names.ts";

/** Views and dialogs that load when they are opened. */
const ExportDialog = lazy(() => import("../parts/Export.tsx").then((m) => ({ default: m.ExportDialog }))),
  GraphPane = lazy(() => import("../parts/Graph.tsx").then((m) => ({ default: m.GraphPane }))),
  ProfilesPane = lazy(() => import("../parts/Profiles.tsx").then((m) => ({ default: m.ProfilesPane }))),
  LabelsPane = lazy(() => import("../parts/LabelsPane.tsx").then((m) => ({ default: m.LabelsPane }))),
  SandwichPane = lazy(() => import("../parts/SandwichPane.tsx").then((m) => ({ default: m.SandwichPane }))),
  TreePane = lazy(() => import("../parts/TreePane.tsx").then((m) => ({ default: m.TreePane }))),
  Details = lazy(() => import("../parts/Details.tsx").then((m) => ({ default: m.Details })));

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

/** Keys of Explore and Compare; a key of a control or an open dialog stays there. */
function useKeys(
  compare: boolean,
  handle: RefObject<FlameHandle | null>,
  searchBox: RefObject<HTMLInputElement | null>,
  onExport: () => void,
): void {
  const { state, go, nowMs, can } = useApp();
  useEffect(() => {
    const key = (e: KeyboardEvent): void => {
      if (
        e.ctrlKey ||
        e.metaKey ||
        e.altKey ||
        (e.target as HTMLElement).matches("input, select, textarea") ||
        document.querySelector("dialog[open], [role=menu]")
      )
        return;
      const fn = state.fn !== "" ? state.fn : (handle.current?.current() ?? "");
      const filter = (kind: "only" | "without" | "hide") => () => {
        if (can?.explore && fn !== "" && !state.stacks[kind].includes(fn))
          go({ stacks: { ...state.stacks, [kind]: [...state.stacks[kind], fn] } });
      };
      const shift = (by: 1 | -1) => () =>
        go({ side: { ...state.side, ...shiftRange(state.side, nowMs, state.zone, by) } });
      const act: Record<string, () => void> = {
        "/": () => searchBox.current?.focus(),
        g: () => document.querySelector<HTMLElement>(".flame-stop")?.focus(),
        n: () => handle.current?.next(1),
        N: () => handle.current?.next(-1),
        b: () => go({ table: !state.table }, true),
        d: () => go({ details: !state.details }, true),
        s: () => go({ pane: "sandwich" }),
        i: () => go({ inverted: !state.inverted }, true),
        r: () => go({ collapsed: !state.collapsed }, true),
        o: filter("only"),
        x: filter("without"),
        h: filter("hide"),
        c: () => go(toCompareScreen(state)),
        e: onExport,
        "[": shift(-1),
        "]": shift(1),
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
  }, [state, go, nowMs, can, compare, handle, searchBox, onExport]);
}

/** Explore one selection, or compare two: the same screen. */
export function Explore({ compare }: { compare: boolean }): ReactNode {
  const app = useApp(),
    { state, nowMs } = app;
  const handle = useRef<FlameHandle>(null),
    searchBox = useRef<HTMLInputElement>(null);
  const [exporting, setExporting] = useState(false),
    [startExport] = useState(() => () => setExporting(true));
  // Keeps the same objects for the same query, so panes send it again only when it changes.
  const a = useStable(app.selection(state.side)),
    b = useStable(compare ? app.selection(baselineOf(state, nowMs)) : undefined);
  useOpeningType();
  useKeys(compare, handle, searchBox, startExport);
  // Checks the tenant's longest range before the query, instead of waiting for an error.
  const most = app.can?.maxQueryLengthMs ?? 0,
    tooLong = most > 0 && [a, b].some((s) => s && s.endMs - s.startMs > most),
    service = state.side.selector.find((m) => m.name === "service_name" && m.op === "=")?.value;
  return (
    <div className={compare ? "explore compare" : "explore"}>
      <h1 className="sr">
        {compare ? "Compare" : "Explore"} {service ?? ""}
      </h1>
      {compare ? <CompareBars /> : <ExploreBar selection={a} />}
      {app.can === undefined ? (
        <Loading active />
      ) : tooLong ? (
        <TooLong maxMs={most} />
      ) : a && (!compare || b) ? (
        <Views a={a} b={b} handle={handle} searchBox={searchBox} onExport={startExport} />
      ) : (
        <Failure error={new Error("Invalid time range: From must be before To.")} />
      )}
      <Suspense fallback={null}>
        {exporting && a ? (
          <ExportDialog selection={a} handle={handle} onClose={() => setExporting(false)} />
        ) : null}
      </Suspense>
    </div>
  );
}

/** The time line, the row of views, and the chosen view with the table next to it. */
function Views({
  a,
  b,
  handle,
  searchBox,
  onExport,
}: {
  a: Selection;
  b: Selection | undefined;
  handle: RefObject<FlameHandle | null>;
  searchBox: RefObject<HTMLInputElement | null>;
  onExport: () => void;
}): ReactNode {
  const { state, go, can } = useApp(),
    narrow = useNarrow();
  // A focus is a zoom of the graph and the tree: no other figure changes with it.
  const whole = useStable(withoutFocus(a)),
    wholeBase = useStable(b && withoutFocus(b));
  const { comparing, ...sides } = useComparisonFigures(a, b);
  const view = (
    <div id="pane" className="pane-host" role="tabpanel" aria-labelledby={`tab-${state.pane}`}>
      <Suspense fallback={<section className="pane" aria-busy="true" />}>
        <View a={a} b={b} whole={whole} wholeBase={wholeBase} comparing={comparing} handle={handle} />
      </Suspense>
      <Suspense fallback={null}>
        {state.details ? <Details selection={whole} baseline={wholeBase} comparing={comparing} /> : null}
      </Suspense>
    </div>
  );
  return (
    <>
      <TimelinePane
        selection={whole}
        baseline={wholeBase}
        onPart={(from, until) => go((s) => comparedPart(s, a, from, until))}
      />
      {b ? <Summary comparing={comparing} {...sides} /> : null}
      <ViewBar compare={b !== undefined} searchBox={searchBox} handle={handle} onExport={onExport} />
      {state.table && can?.explore === true && state.pane !== "table" && !narrow ? (
        <Split
          left={<TablePane selection={whole} baseline={wholeBase} comparing={comparing} beside />}
          right={view}
        />
      ) : (
        <div className="panes">{view}</div>
      )}
    </>
  );
}

/** The chosen view of a selection, or of both sides of a comparison. */
function View({
  a,
  b,
  whole,
  wholeBase,
  comparing,
  handle,
}: {
  a: Selection;
  b: Selection | undefined;
  whole: Selection;
  wholeBase: Selection | undefined;
  comparing: ComparisonFigures | undefined;
  handle: RefObject<FlameHandle | null>;
}): ReactNode {
  const { state } = useApp();
  const other = useRef<FlameHandle>(null),
    ofWhole = { selection: whole, baseline: wholeBase, comparing };
  switch (state.pane) {
    case "table":
      return <TablePane {...ofWhole} />;
    case "tree":
      return <TreePane selection={a} baseline={b} comparing={comparing} />;
    case "sandwich":
      return <SandwichPane {...ofWhole} />;
    case "graph":
      return <GraphPane {...ofWhole} />;
    case "profiles":
      return <ProfilesPane selection={a} />;
    case "labels":
      return <LabelsPane selection={whole} />;
    default:
      if (!b || !state.beside)
        return <FlamePane selection={a} baseline={b} comparing={comparing} handle={handle} />;
      return (
        <div className="beside">
          <FlamePane
            selection={b}
            baseline={undefined}
            comparing={undefined}
            side={comparing && { unit: comparing.baseUnit, total: comparing.sides.before.total }}
            handle={other}
            label="Flame graph of A"
            title={SIDE_NAMES.A}
          />
          <FlamePane
            selection={a}
            baseline={undefined}
            comparing={undefined}
            side={comparing && { unit: comparing.unit, total: comparing.sides.now.total }}
            handle={handle}
            label="Flame graph of B"
            title={SIDE_NAMES.B}
          />
        </div>
      );
  }
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
