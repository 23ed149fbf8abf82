import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { useVirtualizer } from "@tanstack/react-virtual";
import {
  boxOf,
  columnScale,
  CUT_OFF_NAME,
  cutOffText,
  formatShare,
  formatValue,
  pathOf,
  shortFunction,
  sidesOf,
  type Flame,
} from "@cinderblock/flame";
import { useFlame } from "../api/use-flame.ts";
import { useValueUnit } from "../api/use-timeline.ts";
import { useApp } from "../state/app.tsx";
import { changeTexts, type ComparisonFigures } from "../state/compare.ts";
import { Failure, Loading, PartialNotice } from "./Failure.tsx";
import { NODE_STEPS, type PaneProps, useCallTree } from "./tree.ts";

const ROW = 26;

/** Indent of a level in pixels: full steps at first, then small ones, so that names stay in sight. */
function indentOf(level: number): number {
  return 6 + 12 * Math.min(level - 1, 12) + 4 * Math.max(0, Math.min(level - 13, 40));
}

/**
 * The call tree as expandable table rows: the complete equivalent of the flame graph for keyboards and screen
 * readers.
 */
export function TreePane({ selection, baseline, comparing }: PaneProps): ReactNode {
  const { state, go, can } = useApp();
  const own = useValueUnit(selection);
  const { query, source } = useCallTree(
    selection,
    baseline,
    Math.min(can && can.maxNodes > 0 ? can.maxNodes : Infinity, NODE_STEPS[1]!),
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
    estimateSize: () => ROW,
    overscan: 20,
    // The head covers the top of the list.
    scrollPaddingStart: ROW,
  });
  if (query.error || error !== "") return <Failure error={query.error ?? new Error(error)} />;
  const unit = comparing?.unit ?? own;
  const compared: ComparisonFigures | undefined = flame?.baseTotal
    ? (comparing ?? { sides: sidesOf(flame), basis: "share", unit, baseUnit: unit })
    : undefined;
  const scale = columnScale(flame ? [[flame.total[0]!, unit]] : []);
  const shareText = (f: Flame, box: number): string => {
    if (!compared) return formatShare(f.sum > 0 ? f.total[box]! / f.sum : 0);
    const c = changeTexts(f.total[box]!, f.baseTotal![box]!, compared);
    return `${c.share} (${c.delta}, ${c.factor})`;
  };
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
    if (flame && box > 0 && flame.name[box] !== CUT_OFF_NAME)
      go({ fn: flame.names[flame.name[box]!]! }, true);
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
          className={compared ? "treegrid compare" : "treegrid"}
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
                folded = flame.name[box] === CUT_OFF_NAME,
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
                    style={{ paddingLeft: indentOf(level) }}
                    title={folded || box === 0 ? undefined : flame.names[flame.name[box]!]}
                  >
                    {children > 0 ? (open.has(box) ? "▾ " : "▸ ") : "  "}
                    {folded
                      ? cutOffText(flame, box)
                      : box === 0
                        ? "total"
                        : shortFunction(flame.names[flame.name[box]!]!)}
                  </span>
                  <span role="gridcell" className="cell">
                    {folded ? "" : formatValue(flame.self[box]!, unit, scale)}
                  </span>
                  <span role="gridcell" className="cell">
                    {formatValue(flame.total[box]!, unit, scale)}
                  </span>
                  <span role="gridcell" className="cell">
                    {shareText(flame, box)}
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
