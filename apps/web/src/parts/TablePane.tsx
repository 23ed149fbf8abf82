import { Fragment, type ReactNode, useRef, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { columnScale, formatCount, packageFill, shortFunction, sidesOf } from "@cinderblock/flame";
import { keepAnswersOfType } from "../api/keeping-type.ts";
import { useValueUnit } from "../api/use-timeline.ts";
import { useApp } from "../state/app.tsx";
import type { ComparisonFigures } from "../state/compare.ts";
import type { SortKey } from "../state/state.ts";
import { Failure, Loading, PartialNotice } from "./Failure.tsx";
import { plural } from "../state/words.ts";
import { Segmented } from "./Controls.tsx";
import {
  besideColumns,
  changeColumns,
  comparedColumns,
  type Figures,
  plainColumns,
} from "./table-columns.tsx";
import { useNarrow } from "./narrow.ts";
import { useTheme } from "./theme.ts";
import type { PaneProps } from "./tree.ts";

const PAGE = 200;

/** Every function with its exact values from the server, without an "other" row. */
export function TablePane({
  selection,
  baseline,
  comparing,
  beside = false,
}: PaneProps & {
  /** the narrow form beside another view */
  beside?: boolean;
}): ReactNode {
  const { state, go, client, can } = useApp();
  const own = useValueUnit(selection),
    theme = useTheme(),
    narrow = useNarrow();
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
    estimateSize: () => (narrow ? 40 : 26),
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
  const total = sort === "total" || sort === "total-change",
    columns = baseline
      ? beside
        ? comparedColumns(total, unit, head)
        : [...plainColumns(head), ...changeColumns(head)]
      : beside
        ? besideColumns(head)
        : plainColumns(head);
  const context: Figures = { unit, scale, all, compared, most: Math.max(1, page?.rows[0]?.self ?? 0) };
  return (
    <section
      className={q.isFetching ? "pane busy" : "pane"}
      aria-label={beside ? "Functions of the selection" : "Top functions"}
      aria-busy={q.isFetching}
    >
      <Loading active={q.isFetching} />
      <div className="pane-bar">
        <strong>Top functions</strong>
        {page ? (
          <span data-testid="function-count" data-total={page.total} className="quiet ellipsis">
            {`${
              page.matching === page.count
                ? plural(page.count, "function")
                : `${formatCount(page.matching)} of ${plural(page.count, "function")}`
            } (exact)`}
          </span>
        ) : null}
        <span className="grow" />
        <PartialNotice reason={q.data?.partial ?? ""} />
        {page && page.rows.length < page.matching ? (
          <button type="button" className="link" onClick={() => setLimit(limit * 4)}>
            Show more ({page.rows.length} shown)
          </button>
        ) : null}
        {baseline && beside ? (
          <Segmented
            name="Values of the table"
            value={total ? "total" : "self"}
            options={[
              ["self", "Self"],
              ["total", "Total"],
            ]}
            onChange={(v) =>
              go({ sort: v === "self" ? "self-change" : "total-change", ascending: false }, true)
            }
          />
        ) : null}
      </div>
      {page?.rows.length === 0 ? (
        <p className="nothing">{state.search === "" ? "No functions." : "No function matches the search."}</p>
      ) : (
        <div
          className={`table columns-${beside ? "beside" : "full"}${baseline ? " compare" : ""}`}
          role="table"
          aria-label="Top functions"
          aria-rowcount={page?.matching ?? 0}
        >
          <div role="rowgroup">
            <div role="row" className="row head">
              {head("name", "Function")}
              {columns.map((c) => (
                <Fragment key={c.key}>{c.head}</Fragment>
              ))}
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
                    key={item.index}
                    aria-rowindex={item.index + 2}
                    className={state.fn === f.name ? "row selected" : "row"}
                    style={{ position: "absolute", top: item.start, left: 0, right: 0 }}
                    onClick={() => go({ fn: f.name }, true)}
                    onDoubleClick={() => go({ fn: f.name, pane: "sandwich" })}
                  >
                    <span role="cell" className="cell name">
                      {baseline ? null : (
                        <i className="package-dot" style={{ background: packageFill(f.name, theme) }} />
                      )}
                      <button
                        type="button"
                        className="plain"
                        title={f.name}
                        aria-pressed={state.fn === f.name}
                        onClick={() => go({ fn: f.name }, true)}
                      >
                        {beside ? shortFunction(f.name) : f.name}
                      </button>
                      {mark !== "" ? <em className={`mark ${mark}`}>{mark}</em> : null}
                    </span>
                    {columns.map((c) => (
                      <span key={c.key} role="cell" className={`cell ${c.className ?? ""}`}>
                        {c.cell(f, context)}
                      </span>
                    ))}
                  </div>
                );
              })}
            </div>
          </div>
        </div>
      )}
    </section>
  );
}
