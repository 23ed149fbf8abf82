import type { ReactNode } from "react";
import { formatShare, formatValue, type ValueUnit } from "@cinderblock/flame";
import type { FunctionRow } from "../api/types.ts";
import { changeTexts, type ComparisonFigures } from "../state/compare.ts";
import type { SortKey } from "../state/state.ts";
import { withoutUnit } from "../state/words.ts";

/** Units and wholes that the cells of the function table refer to. */
export interface Figures {
  unit: ValueUnit;
  /** scale of the unit that the whole column has */
  scale: Parameters<typeof formatValue>[2];
  /** total of the selection */
  all: number;
  compared: ComparisonFigures | undefined;
  /** self value of the first row, which fills the bar's track */
  most: number;
}

/** A column of the function table. */
interface Column {
  key: string;
  head: ReactNode;
  className?: string;
  cell: (f: FunctionRow, x: Figures) => ReactNode;
}

/** Head of a column that sorts by a key. */
type Head = (key: SortKey, text: string) => ReactNode;

function quietHead(text: string): ReactNode {
  return (
    <span role="columnheader" className="cell">
      {text}
    </span>
  );
}

function share(v: number, of: number): string {
  return formatShare(of > 0 ? v / of : 0);
}

/** Self and total with their shares. */
export function plainColumns(head: Head): Column[] {
  return [
    { key: "self", head: head("self", "Self"), cell: (f, x) => formatValue(f.self, x.unit, x.scale) },
    {
      key: "self-share",
      head: quietHead("Self %"),
      className: "quiet",
      cell: (f, x) => share(f.self, x.all),
    },
    { key: "total", head: head("total", "Total"), cell: (f, x) => formatValue(f.total, x.unit, x.scale) },
    {
      key: "total-share",
      head: quietHead("Total %"),
      className: "quiet",
      cell: (f, x) => share(f.total, x.all),
    },
  ];
}

/** Changes of self and total, as shares: the order of the server. */
export function changeColumns(head: Head): Column[] {
  const column = (
    key: "self-change" | "total-change",
    text: string,
    of: (f: FunctionRow) => [number, number],
  ): Column => ({
    key,
    head: head(key, text),
    cell: (f, x) => {
      if (!x.compared) return "";
      const { points, factor } = changeTexts(...of(f), x.compared);
      return `${points} ${factor}`;
    },
  });
  return [
    column("self-change", "Self Δ", (f) => [f.self, f.baseSelf]),
    column("total-change", "Total Δ", (f) => [f.total, f.baseTotal]),
  ];
}

/** Self with a bar, its share, and total. */
export function besideColumns(head: Head): Column[] {
  return [
    {
      key: "self",
      head: head("self", "Self"),
      className: "bar-cell",
      cell: (f, x) => (
        <>
          <i className="self-bar" style={{ width: `${Math.min(100, (100 * f.self) / x.most)}%` }} />
          <span>{formatValue(f.self, x.unit, x.scale)}</span>
        </>
      ),
    },
    { key: "share", head: quietHead("%"), className: "quiet", cell: (f, x) => share(f.self, x.all) },
    { key: "total", head: head("total", "Total"), cell: (f, x) => formatValue(f.total, x.unit, x.scale) },
  ];
}

/**
 * Values of both sides, their difference and factor; the heading names cores and threads.
 * @param total whether of the total or of the self value
 */
export function comparedColumns(total: boolean, unit: ValueUnit, head: Head): Column[] {
  const workers = typeof unit !== "string" && "seconds" in unit ? (unit.workers ?? "") : "";
  const of = (f: FunctionRow): [now: number, before: number] =>
    total ? [f.total, f.baseTotal] : [f.self, f.baseSelf];
  const texts = (f: FunctionRow, x: Figures): ReturnType<typeof changeTexts> | undefined =>
    x.compared && changeTexts(...of(f), x.compared);
  const value = (v: number, of: ValueUnit, whole: string, x: Figures): string =>
    x.compared?.basis === "share" ? whole : withoutUnit(formatValue(v, of));
  return [
    {
      key: "a",
      head: quietHead("A"),
      className: "quiet",
      cell: (f, x) => (x.compared ? value(of(f)[1], x.compared.baseUnit, texts(f, x)!.baseShare, x) : ""),
    },
    {
      key: "b",
      head: quietHead("B"),
      cell: (f, x) => (x.compared ? value(of(f)[0], x.compared.unit, texts(f, x)!.share, x) : ""),
    },
    {
      key: "delta",
      head: head(total ? "total-change" : "self-change", `Δ ${workers}`.trim()),
      cell: (f, x) => {
        const delta = withoutUnit(texts(f, x)?.delta ?? ""),
          kind = delta.startsWith("+") ? "up" : /^[−-]/.test(delta) ? "down" : "";
        return <span className={`delta ${kind}`}>{delta}</span>;
      },
    },
    { key: "factor", head: quietHead("×"), cell: (f, x) => texts(f, x)?.factor ?? "" },
  ];
}
