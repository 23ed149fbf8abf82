import { type ReactNode, type RefObject, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import {
  boxOf,
  shownShare,
  type Flame,
  FOLDED,
  foldedText,
  formatChange,
  formatShare,
  formatValue,
  type SearchResult,
  pathOf,
  type Rate,
  search,
  searchPattern,
  type Unit,
  unitOf,
} from "@cinderblock/flame";
import type { Selection } from "../api/types.ts";
import { useFlame } from "../api/use-flame.ts";
import { callTreeRequest, neighborsRequest } from "../api/wire.ts";
import type { FlameSource } from "../flame-worker.ts";
import { useApp } from "../state/app.tsx";
import { selectorOf, withMatcher } from "../state/selector.ts";
import { filtersThatChangeValues, type SortKey, type State } from "../state/state.ts";
import { Failure, Loading, PartialNotice } from "./Failure.tsx";
import { FlameCanvas, type FlameHandle } from "./FlameCanvas.tsx";

/** Number of nodes of the overview, and the larger steps when a visible part is cut off. */
const NODES = [16_384, 65_536, 262_144, 1_048_576];

export function unitOfType(type: string): Unit {
  return unitOf(type.split(":")[2] ?? "");
}

/** Unit of a selection's values: sums, or averages per second of its range. */
export function measureOf(state: State, s: Selection): Unit | Rate {
  const unit = unitOfType(state.type),
    seconds = (s.endMs - s.startMs) / 1000;
  return state.rate && seconds > 0
    ? { unit, seconds, cores: unit === "nanoseconds" && /^process_cpu:cpu:/.test(state.type) }
    : unit;
}

interface PaneProps {
  selection: Selection;
  baseline: Selection | undefined;
}

/** A laid out call tree of the server. Requests more nodes while a visible part is cut off. */
function useTree(
  selection: Selection,
  baseline: Selection | undefined,
  nodes: number,
  enabled: boolean,
): {
  query: { isFetching: boolean; error: unknown; refetch: () => unknown; partial: string };
  source: FlameSource | undefined;
} {
  const { client, can } = useApp();
  const q = useQuery({
    queryKey: ["tree", client.tenant, selection, baseline, nodes],
    enabled: enabled && can !== undefined,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }): Promise<{ source: FlameSource; partial: string }> => {
      if (!can!.explore) {
        const { value, partial } = await client.flamegraph(selection, nodes, signal);
        return { source: { kind: "levels", ...value }, partial };
      }
      const { value, partial } = await client.binary(
        "cinderblock.explore.v1.ExploreService/CallTree",
        callTreeRequest(selection, baseline, nodes),
        signal,
      );
      return { source: { kind: "tree", bytes: value }, partial };
    },
  });
  return {
    query: { isFetching: q.isFetching, error: q.error, refetch: q.refetch, partial: q.data?.partial ?? "" },
    source: q.data?.source,
  };
}

/** The flame graph: the overview, and for a focus the same call site with more detail. */
export function FlamePane({
  selection,
  baseline,
  handle,
  label = "Flame graph",
}: PaneProps & { handle: RefObject<FlameHandle | null>; label?: string }): ReactNode {
  const { state, go, can } = useApp();
  const { callSite } = state.stacks;
  const [step, setStep] = useState(0);
  const key = JSON.stringify([selection, baseline]);
  useEffect(() => setStep(0), [key]);
  const most = can && can.maxNodes > 0 ? can.maxNodes : Infinity;
  const whole: Selection = useMemo(
    () => ({ ...selection, stacks: { ...selection.stacks, callSite: [] } }),
    [selection],
  );
  const wholeBase = useMemo(
    () => baseline && { ...baseline, stacks: { ...baseline.stacks, callSite: [] } },
    [baseline],
  );
  const overview = useTree(whole, wholeBase, Math.min(most, NODES[0]!), true);
  const refining = can?.explore === true && (callSite.length > 0 || step > 0);
  const detail = useTree(selection, baseline, Math.min(most, NODES[step]!), refining);
  const first = useFlame(overview.source, state.collapsed, state.inverted);
  const second = useFlame(
    refining && detail.source && !detail.query.isFetching ? detail.source : undefined,
    state.collapsed,
    state.inverted,
  );
  const refined = refining && second.laid && !second.behind && !detail.query.isFetching;
  const laid = refined ? second.laid : first.laid;
  const flame = laid?.flames[0];
  const shown = useSearch(flame, state.search);
  const canGrow = can?.explore === true && step < NODES.length - 1 && NODES[step]! < most;
  // A focus requests its call site at once; for wide boxes that are still cut off, each answer requests more
  // nodes.
  const grow = useCallback(
    (truncated: boolean) => {
      if (truncated && canGrow && !state.inverted && (refined || callSite.length === 0))
        setStep((s) => Math.min(NODES.length - 1, s + 1));
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
  const unit = measureOf(state, selection);
  if (error)
    return (
      <Failure
        error={error}
        retry={() => {
          void overview.query.refetch();
        }}
      />
    );
  const covered = flame ? shownShare(flame) : 1;
  return (
    <section className={busy ? "pane busy" : "pane"} aria-label={label} aria-busy={busy}>
      <Loading active={busy} />
      <PartialNotice reason={overview.query.partial} />
      {can && !can.explore ? (
        <p className="partial">
          This server is a plain Pyroscope v1: functions are cut to {NODES[0]} nodes, and the exact table,
          callers and filters of functions are not available.
        </p>
      ) : null}
      {flame && flame.total[0] === 0 && !(flame.baseTotal && flame.baseTotal[0]! > 0) ? (
        <p className="nothing">
          No samples here.{" "}
          {callSite.length > 0
            ? "The focused call has none in this range."
            : "Choose another time, service or profile type."}
        </p>
      ) : null}
      {flame ? (
        <FlameCanvas
          flame={flame}
          unit={unit}
          baseUnit={baseline && measureOf(state, baseline)}
          all={first.laid?.flames[0]?.sum ?? flame.sum}
          focus={state.inverted ? [] : callSite}
          onFocus={(path) => {
            if (!state.inverted) go((s) => ({ stacks: { ...s.stacks, callSite: path } }));
          }}
          onSelect={(fn) => go({ fn }, true)}
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
      <footer className="coverage">
        {shown.problem !== "" ? (
          <span className="problem" role="alert">
            {shown.problem}
          </span>
        ) : shown.found ? (
          <span data-testid="search-result">
            {shown.found.boxes.length} matches, {formatShare(shown.found.share)} of the displayed total
          </span>
        ) : null}
        {flame ? (
          <span data-testid="coverage" data-nodes={flame.name.length}>
            shown {formatShare(covered)}
            {covered < 1 ? `, ${formatShare(1 - covered)} too small at this size` : ""}
            {busy && laid ? "; more is on its way" : ""}
          </span>
        ) : null}
        {flame ? (
          <span data-testid="total">
            total {formatValue(first.laid?.flames[0]?.sum ?? flame.sum, unit)}
            {flame.baseTotal
              ? `, before ${formatValue(first.laid?.flames[0]?.baseSum ?? flame.baseSum, unit)}`
              : ""}
          </span>
        ) : null}
      </footer>
    </section>
  );
}

function useSearch(
  flame: Flame | undefined,
  text: string,
): { found: SearchResult | undefined; problem: string } {
  return useMemo(() => {
    if (!flame || text === "") return { found: undefined, problem: "" };
    try {
      return { found: search(flame, searchPattern(text)), problem: "" };
    } catch (err) {
      return { found: undefined, problem: (err as Error).message };
    }
  }, [flame, text]);
}

const PAGE = 200;

/** Every function with its exact values from the server, without an "other" row. */
export function TablePane({ selection, baseline }: PaneProps): ReactNode {
  const { state, go, client, can } = useApp();
  const [limit, setLimit] = useState(PAGE);
  const sort: SortKey = baseline
    ? state.sort
    : state.sort === "self-change" || state.sort === "total-change"
      ? "self"
      : state.sort;
  const q = useQuery({
    queryKey: ["functions", client.tenant, selection, baseline, state.search, sort, state.ascending, limit],
    enabled: can?.explore === true,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      client.functions(selection, baseline, state.search, sort, state.ascending, limit, signal),
  });
  const unit = measureOf(state, selection),
    page = q.data?.value;
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: page?.rows.length ?? 0,
    getScrollElement: () => scroller.current,
    estimateSize: () => 28,
    overscan: 12,
  });
  if (can && !can.explore)
    return <p className="partial">A plain Pyroscope v1 has no exact function table.</p>;
  if (q.error) return <Failure error={q.error} retry={() => void q.refetch()} />;
  const head = (key: SortKey, text: string): ReactNode => (
    <span
      role="columnheader"
      aria-sort={sort === key ? (state.ascending ? "ascending" : "descending") : "none"}
      className={key === "name" ? "cell name" : "cell"}
    >
      <button
        type="button"
        onClick={() => go({ sort: key, ascending: sort === key ? !state.ascending : key === "name" }, true)}
      >
        {text}
        {sort === key ? (state.ascending ? " ▲" : " ▼") : ""}
      </button>
    </span>
  );
  const share = (v: number, of: number): number => (of > 0 ? v / of : 0);
  return (
    <section className={q.isFetching ? "pane busy" : "pane"} aria-label="Functions" aria-busy={q.isFetching}>
      <Loading active={q.isFetching} />
      <PartialNotice reason={q.data?.partial ?? ""} />
      <div
        className={baseline ? "table compare" : "table"}
        role="table"
        aria-label="Functions"
        aria-rowcount={page?.matching ?? 0}
      >
        <div role="rowgroup">
          <div role="row" className="row head">
            {head("name", "Function")}
            {head("self", "Self")}
            <span role="columnheader" className="cell">
              Self share
            </span>
            {head("total", "Total")}
            <span role="columnheader" className="cell">
              Total share
            </span>
            {baseline ? (
              <>
                {head("self-change", "Self change")}
                {head("total-change", "Total change")}
              </>
            ) : null}
          </div>
        </div>
        <div
          className="table-scroll"
          ref={scroller}
          role="rowgroup"
          tabIndex={0}
          aria-label="Rows of the function table"
        >
          <div style={{ height: rows.getTotalSize(), position: "relative" }} role="presentation">
            {rows.getVirtualItems().map((item) => {
              const f = page!.rows[item.index]!;
              const mark = baseline ? (f.baseTotal === 0 ? "new" : f.total === 0 ? "gone" : "") : "";
              return (
                <div
                  role="row"
                  key={f.name}
                  aria-rowindex={item.index + 2}
                  className={state.fn === f.name ? "row selected" : "row"}
                  style={{ position: "absolute", top: item.start, left: 0, right: 0 }}
                >
                  <span role="cell" className="cell name">
                    <button
                      type="button"
                      className="plain"
                      title={f.name}
                      onClick={() => go({ fn: f.name }, true)}
                      onDoubleClick={() => go({ fn: f.name, pane: "sandwich" })}
                    >
                      {f.name}
                    </button>
                    {mark !== "" ? <em className={`mark ${mark}`}>{mark}</em> : null}
                  </span>
                  <span role="cell" className="cell">
                    {formatValue(f.self, unit)}
                  </span>
                  <span role="cell" className="cell">
                    {formatShare(share(f.self, page!.total))}
                  </span>
                  <span role="cell" className="cell">
                    {formatValue(f.total, unit)}
                  </span>
                  <span role="cell" className="cell">
                    {formatShare(share(f.total, page!.total))}
                  </span>
                  {baseline ? (
                    <>
                      <span role="cell" className="cell">
                        {formatChange(share(f.baseSelf, page!.baseTotal), share(f.self, page!.total))}
                      </span>
                      <span role="cell" className="cell">
                        {formatChange(share(f.baseTotal, page!.baseTotal), share(f.total, page!.total))}
                      </span>
                    </>
                  ) : null}
                </div>
              );
            })}
          </div>
        </div>
      </div>
      <footer className="coverage">
        {page ? (
          <span data-testid="function-count">
            {page.matching === page.count
              ? `${page.count} functions`
              : `${page.matching} of ${page.count} functions`}
            , exact
          </span>
        ) : null}
        {page && page.rows.length < page.matching ? (
          <button type="button" onClick={() => setLimit(limit * 4)}>
            Show more ({page.rows.length} shown)
          </button>
        ) : null}
      </footer>
    </section>
  );
}

/** Callers (above) and callees (below) of one function, with exact values from the server. */
export function SandwichPane({ selection, baseline }: PaneProps): ReactNode {
  const { state, go, client, can } = useApp();
  const { fn } = state;
  const q = useQuery({
    queryKey: ["neighbours", client.tenant, selection, baseline, fn],
    enabled: fn !== "" && can?.explore === true,
    queryFn: async ({ signal }) => {
      const { value, partial } = await client.binary(
        "cinderblock.explore.v1.ExploreService/FunctionNeighbours",
        neighborsRequest(selection, baseline, fn, NODES[0]!),
        signal,
      );
      return { source: { kind: "neighbours", bytes: value } as FlameSource, partial };
    },
  });
  const { laid, error, behind } = useFlame(q.data?.source, state.collapsed, false);
  const [paths, setPaths] = useState<{ up: string[]; down: string[] }>({ up: [], down: [] });
  useEffect(() => setPaths({ up: [], down: [] }), [fn]);
  if (can && !can.explore)
    return <p className="partial">A plain Pyroscope v1 has no exact callers and callees.</p>;
  if (fn === "")
    return <p className="nothing">Choose a function: click one in the flame graph or the table.</p>;
  if (q.error || error !== "")
    return <Failure error={q.error ?? new Error(error)} retry={() => void q.refetch()} />;
  const colour = baseline
    ? ("change" as const)
    : state.colour === "change"
      ? ("package" as const)
      : state.colour;
  const common = {
    unit: measureOf(state, selection),
    baseUnit: baseline && measureOf(state, baseline),
    all: 0,
    onSelect: (name: string) => go({ fn: name }, true),
    found: undefined,
    colour,
    palette: state.palette,
    overview: false,
  };
  return (
    <section
      className={q.isFetching ? "pane sandwich busy" : "pane sandwich"}
      aria-label={`Callers and callees of ${fn}`}
      aria-busy={q.isFetching || behind}
    >
      <Loading active={q.isFetching} />
      <PartialNotice reason={q.data?.partial ?? ""} />
      <h3>
        <code>{fn}</code>
      </h3>
      {laid ? (
        <>
          <p className="quiet">
            Callers, {formatValue(laid.flames[0]!.sum, common.unit)}
            {laid.flames[0]!.sum === 0 ? ": this function has no samples here" : ""}
          </p>
          <FlameCanvas
            {...common}
            all={laid.flames[0]!.sum}
            flame={laid.flames[0]!}
            upwards
            focus={paths.up}
            onFocus={(up) => setPaths({ ...paths, up })}
            label={`Callers of ${fn}`}
            onSelect={() => undefined}
          />
          <p className="quiet">Callees</p>
          <FlameCanvas
            {...common}
            all={laid.flames[1]!.sum}
            flame={laid.flames[1]!}
            upwards={false}
            focus={paths.down}
            onFocus={(down) => setPaths({ ...paths, down })}
            label={`Callees of ${fn}`}
            onSelect={() => undefined}
          />
        </>
      ) : null}
    </section>
  );
}

/**
 * The call tree as expandable table rows: the complete equivalent of the flame graph for keyboards and screen
 * readers.
 */
export function TreePane({ selection, baseline }: PaneProps): ReactNode {
  const { state, go, can } = useApp();
  const { query, source } = useTree(
    selection,
    baseline,
    Math.min(can && can.maxNodes > 0 ? can.maxNodes : Infinity, NODES[1]!),
    true,
  );
  const { laid, error, behind } = useFlame(source, state.collapsed, state.inverted);
  const flame = laid?.flames[0];
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set([0]));
  const [at, setAt] = useState(0);
  useEffect(() => {
    if (!flame) return;
    // Opens the heaviest path while it is most of the total.
    const start = new Set([0]);
    for (let b = state.inverted ? 0 : boxOf(flame, state.stacks.callSite); b > 0; b = flame.parent[b]!)
      start.add(b);
    for (let b = 0; flame.children[b]! > 0; ) {
      let widest = flame.firstChild[b]!;
      for (let c = widest; c < flame.firstChild[b]! + flame.children[b]!; c++)
        if (flame.width[c]! > flame.width[widest]!) widest = c;
      if (flame.width[widest]! < flame.width[0]! * 0.5) break;
      start.add((b = widest));
    }
    setOpen(start);
    setAt(0);
  }, [flame, state.inverted, state.stacks.callSite]);
  const rows = useMemo(() => {
    const out: { box: number; level: number }[] = [];
    if (!flame) return out;
    const stack = [{ box: 0, level: 1 }];
    while (stack.length > 0) {
      const row = stack.pop()!;
      out.push(row);
      if (!open.has(row.box)) continue;
      const first = flame.firstChild[row.box]!,
        children = Array.from({ length: flame.children[row.box]! }, (_, i) => first + i).sort(
          (a, b) => flame.width[a]! - flame.width[b]!,
        );
      for (const box of children) stack.push({ box, level: row.level + 1 });
    }
    return out;
  }, [flame, open]);
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 26,
    overscan: 20,
  });
  if (query.error || error !== "") return <Failure error={query.error ?? new Error(error)} />;
  const unit = measureOf(state, selection);
  const toggle = (box: number, to: boolean): void => {
    const next = new Set(open);
    if (to) next.add(box);
    else next.delete(box);
    setOpen(next);
  };
  const select = (i: number): void => {
    const k = Math.max(0, Math.min(rows.length - 1, i));
    setAt(k);
    virtual.scrollToIndex(k);
    const box = rows[k]!.box;
    if (flame && box > 0 && flame.name[box] !== FOLDED) go({ fn: flame.names[flame.name[box]!]! }, true);
  };
  return (
    <section
      className={query.isFetching ? "pane busy" : "pane"}
      aria-label="Call tree"
      aria-busy={query.isFetching || behind}
    >
      <Loading active={query.isFetching} />
      <PartialNotice reason={query.partial} />
      {flame ? (
        <div
          className="treegrid"
          role="treegrid"
          aria-label="Call tree"
          aria-rowcount={rows.length}
          tabIndex={0}
          ref={scroller}
          aria-activedescendant={`row-${rows[at]?.box ?? 0}`}
          onKeyDown={(e) => {
            const row = rows[at];
            if (!row || e.ctrlKey || e.metaKey || e.altKey) return;
            const act: Record<string, () => void> = {
              ArrowDown: () => select(at + 1),
              ArrowUp: () => select(at - 1),
              Home: () => select(0),
              End: () => select(rows.length - 1),
              ArrowRight: () => {
                if (open.has(row.box)) select(at + 1);
                else toggle(row.box, true);
              },
              ArrowLeft: () => {
                if (open.has(row.box) && flame.children[row.box]! > 0) toggle(row.box, false);
                else select(rows.findIndex((r) => r.box === flame.parent[row.box]));
              },
              Enter: () => {
                if (!state.inverted)
                  go((s) => ({ stacks: { ...s.stacks, callSite: pathOf(flame, row.box) } }));
              },
            };
            if (act[e.key]) {
              e.preventDefault();
              act[e.key]!();
            }
          }}
        >
          <div role="row" className="row head" aria-rowindex={1}>
            <span role="columnheader" className="cell name">
              Call
            </span>
            <span role="columnheader" className="cell">
              Self
            </span>
            <span role="columnheader" className="cell">
              Total
            </span>
            <span role="columnheader" className="cell">
              Share
            </span>
          </div>
          <div role="presentation" style={{ height: virtual.getTotalSize(), position: "relative" }}>
            {virtual.getVirtualItems().map((item) => {
              const { box, level } = rows[item.index]!,
                folded = flame.name[box] === FOLDED,
                children = flame.children[box]!;
              return (
                <div
                  key={box}
                  id={`row-${box}`}
                  role="row"
                  aria-level={level}
                  aria-rowindex={item.index + 2}
                  aria-selected={item.index === at}
                  {...(children > 0 ? { "aria-expanded": open.has(box) } : {})}
                  className={item.index === at ? "row selected" : "row"}
                  style={{ position: "absolute", top: item.start, left: 0, right: 0 }}
                  onClick={() => {
                    select(item.index);
                    if (children > 0) toggle(box, !open.has(box));
                  }}
                >
                  <span
                    role="gridcell"
                    className={folded ? "cell name quiet" : "cell name"}
                    style={{ paddingLeft: 6 + (level - 1) * 14 }}
                  >
                    {children > 0 ? (open.has(box) ? "▾ " : "▸ ") : "  "}
                    {folded ? foldedText(flame, box) : box === 0 ? "all" : flame.names[flame.name[box]!]}
                  </span>
                  <span role="gridcell" className="cell">
                    {folded ? "" : formatValue(flame.self[box]!, unit)}
                  </span>
                  <span role="gridcell" className="cell">
                    {formatValue(flame.total[box]!, unit)}
                  </span>
                  <span role="gridcell" className="cell">
                    {formatShare(flame.sum > 0 ? flame.total[box]! / flame.sum : 0)}
                    {flame.baseTotal
                      ? ` (${formatChange(flame.baseSum > 0 ? flame.baseTotal[box]! / flame.baseSum : 0, flame.sum > 0 ? flame.total[box]! / flame.sum : 0)})`
                      : ""}
                  </span>
                </div>
              );
            })}
          </div>
        </div>
      ) : null}
    </section>
  );
}

/** Values of each label among the samples; one click filters by a value or compares it with all others. */
export function LabelsPane({ selection }: PaneProps): ReactNode {
  const { state, go, client, can } = useApp(),
    stacks = can?.explore ? filtersThatChangeValues(selection.stacks) : undefined;
  const names = useQuery({
    queryKey: ["names", client.tenant, selection.selector, selection.startMs, selection.endMs, state.type],
    queryFn: ({ signal }) =>
      client.labelNames(
        [selectorOf([...state.side.selector, { name: "__profile_type__", op: "=", value: state.type }])],
        selection.startMs,
        selection.endMs,
        signal,
      ),
  });
  const label = state.group !== "" ? state.group : (names.data?.find((n) => n !== "service_name") ?? "");
  const stepS = Math.max(1, Math.ceil((selection.endMs - selection.startMs) / 1000));
  const q = useQuery({
    queryKey: [
      "by",
      client.tenant,
      selection.type,
      selection.selector,
      selection.startMs,
      selection.endMs,
      label,
      stacks,
    ],
    enabled: label !== "",
    queryFn: ({ signal }) =>
      client.series(
        selection.type,
        selection.selector,
        selection.startMs,
        selection.endMs,
        stepS,
        [label],
        0,
        signal,
        stacks,
      ),
  });
  if (names.error || q.error) return <Failure error={names.error ?? q.error} />;
  const unit = measureOf(state, selection);
  const rows = (q.data?.value ?? [])
    .map((s) => ({ value: s.labels[label] ?? "", sum: s.points.reduce((n, p) => n + p.value, 0) }))
    .filter((r) => !stacks || r.sum > 0)
    .sort((a, b) => b.sum - a.sum);
  const total = rows.reduce((n, r) => n + r.sum, 0);
  const chosen = (value: string, op: "=" | "!="): typeof state.side => ({
    ...state.side,
    selector: withMatcher(state.side.selector, { name: label, op, value }),
  });
  return (
    <section className="pane" aria-label="Labels" aria-busy={q.isFetching}>
      <Loading active={q.isFetching || names.isFetching} />
      <div className="label-names" role="group" aria-label="Label">
        {(names.data ?? []).map((n) => (
          <button key={n} type="button" aria-pressed={n === label} onClick={() => go({ group: n }, true)}>
            {n}
          </button>
        ))}
      </div>
      <table className="by-label">
        <thead>
          <tr>
            <th scope="col">{label || "value"}</th>
            <th scope="col">Value</th>
            <th scope="col">Share</th>
            <th scope="col">
              <span className="sr">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((r) => (
            <tr key={r.value}>
              <th scope="row">{r.value === "" ? <em>(none)</em> : r.value}</th>
              <td>{formatValue(r.sum, unit)}</td>
              <td>
                <span className="bar" style={{ width: `${total > 0 ? (100 * r.sum) / total : 0}%` }} />
                {formatShare(total > 0 ? r.sum / total : 0)}
              </td>
              <td>
                <button type="button" onClick={() => go({ side: chosen(r.value, "=") })}>
                  only
                </button>
                <button type="button" onClick={() => go({ side: chosen(r.value, "!=") })}>
                  without
                </button>
                <button
                  type="button"
                  onClick={() =>
                    go({
                      screen: "compare",
                      pane: "flame",
                      side: chosen(r.value, "="),
                      baseline: chosen(r.value, "!="),
                    })
                  }
                >
                  compare with all others
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {q.data && rows.length === 0 ? <p className="nothing">No samples with this label here.</p> : null}
    </section>
  );
}
