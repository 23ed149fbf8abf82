import { type ReactNode, useMemo, useRef, useState } from "react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { formatRelative, formatValue, isCpuTime, isGauge, measureOf } from "@cinderblock/flame";
import { useApp } from "../state/app.tsx";
import {
  type ServiceFamily,
  type ServiceRow,
  sortedServices,
  type ServiceSort,
} from "../state/service-rows.ts";
import { encodeState, initialState, type State } from "../state/state.ts";
import { firstType, namedTypes } from "../state/type-names.ts";
import { Icon } from "./Icon.tsx";
import { useNarrow } from "./narrow.ts";
import { Sparkline } from "./Sparkline.tsx";

const PINS = "cinderblock.pins";

/** Names of the services that are pinned in this browser. */
function savedPins(): string[] {
  return JSON.parse(localStorage.getItem(PINS) ?? "[]") as string[];
}

/** Whether a service has profiles in the window, but none of a type. */
function isWithout(type: string, { total, types }: ServiceRow): boolean {
  return total === 0 && types.length > 0 && !types.includes(type);
}

/** Families of profile types, such as "Heap, Locks". */
function familiesOf(types: readonly string[]): string {
  return [...new Set(namedTypes(types).map((t) => t.family))].join(", ");
}

/** A change against the previous period; strong where it is above a tenth. */
function Change({ row, compared }: { row: ServiceRow | undefined; compared: boolean }): ReactNode {
  const change = row?.change;
  if (change === undefined)
    return compared && row && row.total > 0 ? <span className="mark">new</span> : <span>–</span>;
  return (
    <span className={change > 0.1 ? "more" : change < -0.1 ? "less" : "quiet"}>{formatRelative(change)}</span>
  );
}

/** Services with the figures of the chosen type, and of one type of each other family. */
export function ServiceTable({
  rows,
  families,
  compared,
}: {
  /** services that match the search, with the figures of the chosen type */
  rows: readonly ServiceRow[];
  families: readonly ServiceFamily[];
  /** whether the previous period is known */
  compared: boolean;
}): ReactNode {
  const { state, go } = useApp(),
    narrow = useNarrow(),
    [pins, setPins] = useState(savedPins),
    [sort, setSort] = useState<ServiceSort>({ key: "value", ascending: false }),
    table = useRef<HTMLTableElement>(null);
  const shown = useMemo(() => sortedServices(rows, families, sort, pins), [rows, families, sort, pins]);
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => document.getElementById("main"),
    estimateSize: () => (narrow ? 48 : 36),
    overscan: 8,
    scrollMargin: table.current?.offsetTop ?? 0,
  });
  const pin = (name: string): void => {
    const next = pins.includes(name) ? pins.filter((p) => p !== name) : [...pins, name];
    setPins(next);
    localStorage.setItem(PINS, JSON.stringify(next));
  };
  const head = (key: string, text: string): ReactNode => {
    const sorted = sort.key === key,
      name = key === "name";
    return (
      <th
        key={key}
        scope="col"
        className={name ? "" : families.some((f) => f.family === key) ? "num family" : "num"}
        aria-sort={sorted ? (sort.ascending ? "ascending" : "descending") : "none"}
      >
        <button type="button" onClick={() => setSort({ key, ascending: sorted ? !sort.ascending : name })}>
          {text}
          {sorted ? (sort.ascending ? " ▲" : " ▼") : ""}
        </button>
      </th>
    );
  };
  /** A link to a service in Explore, also for a middle click. */
  const link = (x: ServiceRow, type: string, text: ReactNode): ReactNode => {
    const change: Partial<State> = {
      screen: "explore",
      type,
      side: { ...state.side, selector: [{ name: "service_name", op: "=", value: x.name }] },
      stacks: initialState.stacks,
      fn: "",
      search: "",
    };
    return (
      <a
        href={encodeState({ ...state, ...change })}
        onClick={(e) => {
          if (e.ctrlKey || e.metaKey || e.shiftKey) return;
          e.preventDefault();
          go(change);
        }}
      >
        {text}
      </a>
    );
  };
  const items = virtual.getVirtualItems(),
    before = items.length > 0 ? items[0]!.start - virtual.options.scrollMargin : 0,
    after =
      items.length > 0 ? virtual.getTotalSize() - (items.at(-1)!.end - virtual.options.scrollMargin) : 0,
    columns = 5 + 2 * families.length;
  const space = (height: number): ReactNode =>
    height > 0 ? (
      <tr aria-hidden="true" className="space">
        <td colSpan={columns} style={{ height }} />
      </tr>
    ) : null;
  return (
    <table className="service-list" ref={table} aria-rowcount={shown.length + 1}>
      <thead>
        <tr>
          <th scope="col">
            <span className="sr">Pinned</span>
          </th>
          {head("name", "Service")}
          {head("value", isGauge(state.type) ? "Avg" : "Total")}
          <th scope="col" className="trend">
            Trend
          </th>
          {head("change", "vs previous period")}
          {families.map((f) => [
            head(f.family, f.name),
            <th key={`${f.family} change`} scope="col" className="num family">
              Change
            </th>,
          ])}
        </tr>
      </thead>
      <tbody>
        {space(before)}
        {items.map((item) => {
          const x = shown[item.index]!,
            opens = x.types.length === 0 || x.types.includes(state.type) ? state.type : firstType(x.types)!;
          return (
            <tr key={x.name} aria-rowindex={item.index + 2}>
              <td>
                <button
                  type="button"
                  className="plain"
                  aria-pressed={pins.includes(x.name)}
                  aria-label={`Pin ${x.name}`}
                  onClick={() => pin(x.name)}
                >
                  <Icon name="star" />
                </button>
              </td>
              <th scope="row">{link(x, opens, x.name)}</th>
              <td className="num" data-total={x.total}>
                {isWithout(state.type, x) ? (
                  <>
                    – <span className="quiet">{familiesOf(x.types)}</span>
                  </>
                ) : (
                  formatValue(x.total, measureOf(state.type, false, x))
                )}
                {isCpuTime(state.type) && x.total > 0 ? (
                  <span className="quiet second">
                    {" "}
                    {formatValue(x.total, measureOf(state.type, true, x))}
                  </span>
                ) : null}
              </td>
              <td className="trend">
                {x.total > 0 ? <Sparkline values={x.line} change={x.change} /> : null}
              </td>
              <td className="num">
                <Change row={isWithout(state.type, x) ? undefined : x} compared={compared} />
              </td>
              {families.map((f) => {
                const row = f.rows.get(x.name);
                return [
                  <td key={f.family} className="num family">
                    {row && row.total > 0 ? (
                      link(
                        x,
                        f.type,
                        formatValue(row.total, measureOf(f.type, true, row)).replace(/ avg$/, ""),
                      )
                    ) : (
                      <span className="quiet">–</span>
                    )}
                  </td>,
                  <td key={`${f.family} change`} className="num family">
                    {row && row.total > 0 ? <Change row={row} compared={f.compared} /> : null}
                  </td>,
                ];
              })}
            </tr>
          );
        })}
        {space(after)}
      </tbody>
    </table>
  );
}
