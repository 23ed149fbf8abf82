import { type ReactNode, useRef, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { columnScale, formatCount, formatShare, formatValue, sidesOf } from "@cinderblock/flame";
import { keepAnswersOfType } from "../api/keeping-type.ts";
import { useValueUnit } from "../api/use-timeline.ts";
import { useApp } from "../state/app.tsx";
import { changeTexts, type ComparisonFigures } from "../state/compare.ts";
import type { SortKey } from "../state/state.ts";
import { Failure, Loading, PartialNotice } from "./Failure.tsx";
import { plural } from "../state/words.ts";
import type { PaneProps } from "./tree.ts";

const PAGE = 200;

/** Every function with its exact values from the server, without an "other" row. */
export function TablePane({ selection, baseline, comparing }: PaneProps): ReactNode {
  const { state, go, client, can } = useApp();
  const own = useValueUnit(selection);
  const [limit, setLimit] = useState(PAGE);
  const sort: SortKey = baseline
    ? state.sort
    : state.sort === "self-change" || state.sort === "total-change"
      ? "self"
      : state.sort;
  const q = useQuery({
    queryKey: ["functions", client.tenant, selection, baseline, state.search, sort, state.ascending, limit],
    enabled: can?.explore === true,
    ...keepAnswersOfType(selection.type),
    queryFn: ({ signal }) =>
      client.functions(selection, baseline, state.search, sort, state.ascending, limit, signal),
  });
  const page = q.data?.value;
  const unit = comparing?.unit ?? own,
    compared: ComparisonFigures | undefined =
      page &&
      baseline &&
      (comparing ?? {
        sides: sidesOf({ sum: page.total, baseSum: page.baseTotal }),
        basis: "share",
        unit,
        baseUnit: unit,
      }),
    all = comparing?.sides.now.total ?? page?.total ?? 0;
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
  const scale = columnScale((page?.rows ?? []).map((f) => [f.total, unit]));
  const share = (v: number, of: number): number => (of > 0 ? v / of : 0);
  // The server orders by the change of the share, so the share is the first of both figures.
  const change = (total: number, baseTotal: number, c: ComparisonFigures): string => {
    const { points, factor } = changeTexts(total, baseTotal, c);
    return `${points} ${factor}`;
  };
  return (
    <section
      className={q.isFetching ? "pane busy" : "pane"}
      aria-label="Top functions"
      aria-busy={q.isFetching}
    >
      <Loading active={q.isFetching} />
      <PartialNotice reason={q.data?.partial ?? ""} />
      <div
        className={baseline ? "table compare" : "table"}
        role="table"
        aria-label="Top functions"
        aria-rowcount={page?.matching ?? 0}
      >
        <div role="rowgroup">
          <div role="row" className="row head">
            {head("name", "Function")}
            {head("self", "Self")}
            <span role="columnheader" className="cell">
              Self %
            </span>
            {head("total", "Total")}
            <span role="columnheader" className="cell">
              Total %
            </span>
            {baseline ? (
              <>
                {head("self-change", "Self Δ")}
                {head("total-change", "Total Δ")}
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
                    {formatValue(f.self, unit, scale)}
                  </span>
                  <span role="cell" className="cell">
                    {formatShare(share(f.self, all))}
                  </span>
                  <span role="cell" className="cell">
                    {formatValue(f.total, unit, scale)}
                  </span>
                  <span role="cell" className="cell">
                    {formatShare(share(f.total, all))}
                  </span>
                  {compared ? (
                    <>
                      <span role="cell" className="cell">
                        {change(f.self, f.baseSelf, compared)}
                      </span>
                      <span role="cell" className="cell">
                        {change(f.total, f.baseTotal, compared)}
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
          <span data-testid="function-count" data-total={page.total}>
            {page.matching === page.count
              ? plural(page.count, "function")
              : `${formatCount(page.matching)} of ${plural(page.count, "function")}`}{" "}
            (exact)
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
