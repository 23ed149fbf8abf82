import { type ReactNode, type RefObject, useCallback, useEffect, useMemo, useState } from "react";
import {
  shareNotCutOff,
  type Flame,
  formatCount,
  formatShare,
  formatValue,
  type SearchResult,
  searchFlame,
  searchPattern,
  type ValueUnit,
} from "@cinderblock/flame";
import { withoutFocus } from "../api/comparison.ts";
import { useFlame } from "../api/use-flame.ts";
import { useValueUnit } from "../api/use-timeline.ts";
import { useApp } from "../state/app.tsx";
import { Banner, Failure, Loading, PartialNotice } from "./Failure.tsx";
import { Breadcrumb } from "./Breadcrumb.tsx";
import { FlameCanvas, type FlameHandle, type MenuPlace } from "./FlameCanvas.tsx";
import { FlameMenu } from "./FlameMenu.tsx";
import { Icon } from "./Icon.tsx";
import { useNarrow } from "./narrow.ts";
import { matchesText } from "../state/words.ts";
import { NoData } from "./NoData.tsx";
import { NODE_STEPS, type PaneProps, useCallTree } from "./tree.ts";

/** The flame graph: the overview, and for a focus the same call site with more detail. */
export function FlamePane({
  selection,
  baseline,
  comparing,
  side,
  handle,
  label = "Flame graph",
  title,
}: PaneProps & {
  handle: RefObject<FlameHandle | null>;
  /** unit and whole total of this side of a comparison, where each side has a graph of its own */
  side?: { unit: ValueUnit; total: number } | undefined;
  label?: string;
  /** heading in the pane's bar */
  title?: string;
}): ReactNode {
  const { state, go, can } = useApp();
  const own = useValueUnit(selection);
  const { callSite } = state.stacks;
  const [step, setStep] = useState(0);
  const key = JSON.stringify([selection, baseline]);
  useEffect(() => setStep(0), [key]);
  const most = can && can.maxNodes > 0 ? can.maxNodes : Infinity;
  const whole = useMemo(() => withoutFocus(selection), [selection]);
  const wholeBase = useMemo(() => baseline && withoutFocus(baseline), [baseline]);
  const overview = useCallTree(whole, wholeBase, Math.min(most, NODE_STEPS[0]!), true);
  const refining = can?.explore === true && (callSite.length > 0 || step > 0);
  const detail = useCallTree(selection, baseline, Math.min(most, NODE_STEPS[step]!), refining);
  const first = useFlame(overview.source, state.collapsed, state.inverted);
  const second = useFlame(
    refining && detail.source && !detail.query.isFetching ? detail.source : undefined,
    state.collapsed,
    state.inverted,
    baseline && first.laid?.flames[0],
  );
  const refined = refining && second.laid && !second.behind && !detail.query.isFetching;
  const laid = refined ? second.laid : first.laid;
  const flame = laid?.flames[0];
  const shown = useSearch(flame, state.search);
  const canGrow = can?.explore === true && step < NODE_STEPS.length - 1 && NODE_STEPS[step]! < most;
  // A focus requests its call site at once; for wide boxes that are still cut off, each answer requests more
  // nodes.
  const grow = useCallback(
    (truncated: boolean) => {
      if (truncated && canGrow && !state.inverted && (refined || callSite.length === 0))
        setStep((s) => Math.min(NODE_STEPS.length - 1, s + 1));
    },
    [canGrow, refined, callSite.length, state.inverted],
  );
  const error =
    overview.query.error ??
    (refining ? detail.query.error : undefined) ??
    (first.error !== "" ? new Error(first.error) : undefined);
  // Until an answer is laid out, the screen shows an older picture.
  const busy =
    overview.query.isFetching || first.behind || (refining && (detail.query.isFetching || second.behind));
  const unit = comparing?.unit ?? side?.unit ?? own,
    all = comparing?.sides.now.total ?? side?.total ?? first.laid?.flames[0]?.sum ?? flame?.sum ?? 0;
  const covered = flame ? shareNotCutOff(flame) : 1,
    sums = first.laid?.flames[0] ?? flame,
    [menu, setMenu] = useState<MenuPlace>(),
    [closeMenu] = useState(() => () => setMenu(undefined)),
    narrow = useNarrow();
  const retry = (): void => {
    void overview.query.refetch();
    if (refining) void detail.query.refetch();
  };
  if (error && !flame) return <Failure error={error} retry={retry} />;
  return (
    <section
      className={busy ? "pane flame-pane busy" : "pane flame-pane"}
      aria-label={label}
      aria-busy={busy}
    >
      <Loading active={busy} />
      <div className="pane-bar">
        {title ? <strong>{title}</strong> : null}
        {flame ? (
          <span data-testid="total" data-total={sums?.sum} className="ellipsis">
            total {formatValue(sums?.sum ?? 0, unit)}
            {flame.baseTotal
              ? `, baseline ${formatValue(sums?.baseSum ?? 0, comparing?.baseUnit ?? unit)}`
              : ""}
          </span>
        ) : null}
        <Breadcrumb />
        <span className="grow" />
        <PartialNotice reason={overview.query.partial} />
        {can && !can.explore ? <V1Notice compare={baseline !== undefined} /> : null}
        {shown.problem !== "" ? (
          <span className="problem" role="alert">
            {shown.problem}
          </span>
        ) : shown.found ? (
          <span data-testid="search-result">{matchesText(shown.found)} of total</span>
        ) : null}
        {flame ? (
          <span data-testid="coverage" data-nodes={flame.name.length} className="quiet">
            {formatShare(covered)} visible
            {covered < 1 ? `, ${formatShare(1 - covered)} below resolution` : ""}
          </span>
        ) : null}
        {baseline ? <DiffScale palette={state.palette} /> : null}
        <button
          type="button"
          className="plain reset"
          title="Reset zoom (0)"
          onClick={() => {
            handle.current?.reset();
            if (callSite.length > 0) go((s) => ({ stacks: { ...s.stacks, callSite: [] } }));
          }}
        >
          <Icon name="zoomOut" />
          Reset zoom
        </button>
      </div>
      {error ? <Banner error={error} retry={retry} /> : null}
      {flame && flame.total[0] === 0 && !(flame.baseTotal && flame.baseTotal[0]! > 0) ? (
        <NoData>{callSite.length > 0 ? "The focused call has no samples in this time range." : ""}</NoData>
      ) : null}
      {flame ? (
        <FlameCanvas
          flame={flame}
          unit={unit}
          comparing={comparing}
          all={all}
          focus={state.inverted ? [] : callSite}
          onFocus={(path) => {
            if (!state.inverted) go((s) => ({ stacks: { ...s.stacks, callSite: path } }));
          }}
          onSelect={(fn) => go(narrow ? { fn, details: true } : { fn }, true)}
          selected={state.fn}
          tapSelects={narrow}
          onMenu={setMenu}
          found={shown.found}
          colour={baseline ? "change" : state.colour === "change" ? "package" : state.colour}
          palette={state.palette}
          upwards={state.upwards}
          label={label}
          onTruncated={grow}
          handle={handle}
        />
      ) : (
        <div className="flame-empty" />
      )}
      {menu ? <FlameMenu place={menu} onClose={closeMenu} /> : null}
    </section>
  );
}

/** Limits of a plain Pyroscope v1 as a badge; the sentence opens below it. */
function V1Notice({ compare }: { compare: boolean }): ReactNode {
  return (
    <details className="notice">
      <summary>Connected to Pyroscope v1</summary>
      <p>
        Limited to {formatCount(NODE_STEPS[0]!)} nodes{compare ? " on each side" : ""}; exact table, callers &
        callees and function filters unavailable.
      </p>
    </details>
  );
}

/** Colors of a comparison, from less in B to more in B. */
function DiffScale({ palette }: { palette: string }): ReactNode {
  return (
    <span className={`diff-scale ${palette}`}>
      less in B
      <i aria-hidden="true" />
      more in B
    </span>
  );
}

function useSearch(
  flame: Flame | undefined,
  text: string,
): { found: SearchResult | undefined; problem: string } {
  return useMemo(() => {
    if (!flame || text === "") return { found: undefined, problem: "" };
    try {
      return { found: searchFlame(flame, searchPattern(text)), problem: "" };
    } catch (err) {
      return { found: undefined, problem: (err as Error).message };
    }
  }, [flame, text]);
}
