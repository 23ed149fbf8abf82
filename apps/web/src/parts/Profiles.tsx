import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { formatCount, formatValue, unitOfType } from "@cinderblock/flame";
import { keepAnswersOfType } from "../api/keeping-type.ts";
import type { Heatmap, Selection } from "../api/types.ts";
import { useApp } from "../state/app.tsx";
import { formatRange, formatTime } from "../state/time.ts";
import { plural } from "../state/words.ts";
import { Failure, Loading, PartialNotice } from "./Failure.tsx";
import { useTheme } from "./theme.ts";

const COLUMNS = 60,
  ROWS = 16,
  HEIGHT = 192,
  LISTED = 100;

interface Cell {
  column: number;
  row: number;
}
/** Bounds of a cell: its time, and values in (`low`, `high`]. */
function boundsOf(
  h: Heatmap,
  { column, row }: Cell,
  s: Selection,
): { fromMs: number; untilMs: number; low: number; high: number; count: number } {
  const width = (s.endMs - s.startMs + 1) / h.columns;
  return {
    fromMs: Math.ceil(s.startMs + column * width),
    untilMs: Math.ceil(s.startMs + (column + 1) * width) - 1,
    low: Math.floor((row * h.maxValue) / h.rows),
    high: row === h.rows - 1 ? h.maxValue : Math.floor(((row + 1) * h.maxValue) / h.rows),
    count: h.counts[column * h.rows + row] ?? 0,
  };
}

/**
 * Single profiles: a heatmap by time and value, the profiles of a cell, and from there one profile's flame
 * graph.
 */
export function ProfilesPane({ selection }: { selection: Selection }): ReactNode {
  const { state, go, client, can } = useApp();
  const q = useQuery({
    queryKey: [
      "heatmap",
      client.tenant,
      selection.type,
      selection.selector,
      selection.startMs,
      selection.endMs,
    ],
    enabled: can?.explore === true,
    ...keepAnswersOfType(selection.type),
    queryFn: ({ signal }) => client.heatmap(selection, COLUMNS, ROWS, signal),
  });
  const h = q.data?.value;
  const [column, row] = state.cell.split(".").map(Number);
  const cell =
    h && state.cell !== "" && column! < h.columns && row! < h.rows
      ? { column: column!, row: row! }
      : undefined;
  const bounds = h && cell ? boundsOf(h, cell, selection) : undefined;
  const list = useQuery({
    queryKey: [
      "profiles",
      client.tenant,
      selection.type,
      selection.selector,
      bounds ?? [selection.startMs, selection.endMs],
    ],
    enabled: can?.explore === true && h !== undefined,
    queryFn: ({ signal }) =>
      client.profiles(
        { ...selection, ...(bounds ? { startMs: bounds.fromMs, endMs: bounds.untilMs } : {}) },
        bounds?.low ?? 0,
        bounds?.high ?? 0,
        LISTED,
        signal,
      ),
  });
  const unit = unitOfType(state.type);
  if (can && !can.explore) return <p className="partial">A plain Pyroscope v1 has no single profiles.</p>;
  if (q.error || list.error)
    return (
      <Failure
        error={q.error ?? list.error}
        retry={() => {
          void q.refetch();
          void list.refetch();
        }}
      />
    );
  return (
    <section
      className={q.isFetching ? "pane busy" : "pane"}
      aria-label="Profiles"
      aria-busy={q.isFetching || list.isFetching}
    >
      <Loading active={q.isFetching || list.isFetching} />
      <PartialNotice reason={q.data?.partial ?? ""} />
      {h && h.profiles > 0 ? (
        <HeatmapCanvas
          h={h}
          cell={cell}
          describe={(c) => {
            const b = boundsOf(h, c, selection);
            return `${formatRange(b.fromMs, b.untilMs, state.zone)}, above ${formatValue(b.low, unit)} up to ${formatValue(b.high, unit)}: ${plural(b.count, "profile")}`;
          }}
          onCell={(c) => go({ cell: c ? `${c.column}.${c.row}` : "" })}
        />
      ) : null}
      {h ? (
        <p className="quiet" data-testid="profile-count">
          {plural(h.profiles, "profile")}, max {formatValue(h.maxValue, unit)}
          {bounds
            ? `; in the cell: ${plural(list.data?.count ?? bounds.count, "profile")}, ${formatValue(list.data?.total ?? 0, unit)}`
            : ""}
          {cell ? (
            <>
              {" "}
              <button type="button" onClick={() => go({ cell: "" })}>
                All cells
              </button>
            </>
          ) : null}
        </p>
      ) : null}
      {list.data && list.data.rows.length > 0 ? (
        <table className="profile-list">
          <thead>
            <tr>
              <th scope="col">Time</th>
              <th scope="col" className="num">
                Value
              </th>
              <th scope="col">Labels</th>
              <th scope="col">
                <span className="sr">Open</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {list.data.rows.map((p, i) => (
              <tr key={`${p.id}${i}`}>
                <td>{formatTime(p.ms, state.zone)}</td>
                <td className="num">{formatValue(p.value, unit)}</td>
                <td className="labels">
                  {p.labels
                    .filter(
                      (l) =>
                        !l.startsWith("service_name=") ||
                        !state.side.selector.some((m) => m.name === "service_name" && m.op === "="),
                    )
                    .join("  ")}
                </td>
                <td>
                  <button type="button" onClick={() => go({ profile: p.id, pane: "flame" })}>
                    Flame graph
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
      {list.data && list.data.count > list.data.rows.length ? (
        <p className="quiet">
          Showing the {list.data.rows.length} largest of {formatCount(list.data.count)}: select a cell.
        </p>
      ) : null}
      {h?.profiles === 0 ? <p className="nothing">No profiles in this selection.</p> : null}
    </section>
  );
}

/** The heatmap: darker is more. A click or Enter lists a cell's profiles. */
function HeatmapCanvas({
  h,
  cell,
  describe,
  onCell,
}: {
  h: Heatmap;
  cell: Cell | undefined;
  describe: (c: Cell) => string;
  onCell: (c: Cell | undefined) => void;
}): ReactNode {
  const canvas = useRef<HTMLCanvasElement>(null),
    theme = useTheme();
  const [width, setWidth] = useState(800),
    [at, setAt] = useState<Cell>({ column: 0, row: 0 }),
    [tip, setTip] = useState("");
  useEffect(() => {
    const o = new ResizeObserver(() => setWidth(canvas.current!.parentElement!.clientWidth));
    o.observe(canvas.current!.parentElement!);
    return () => o.disconnect();
  }, []);
  useEffect(() => {
    const c = canvas.current!,
      ratio = devicePixelRatio || 1,
      w = width / h.columns,
      r = HEIGHT / h.rows,
      most = Math.max(1, ...h.counts);
    c.width = Math.round(width * ratio);
    c.height = Math.round(HEIGHT * ratio);
    const ctx = c.getContext("2d")!;
    ctx.scale(ratio, ratio);
    ctx.fillStyle = theme === "dark" ? "#1b1b21" : "#ffffff";
    ctx.fillRect(0, 0, width, HEIGHT);
    h.counts.forEach((n, i) => {
      if (n === 0) return;
      // The square root makes a single profile visible next to empty cells.
      const share = 0.25 + 0.75 * Math.sqrt(n / most);
      ctx.fillStyle =
        theme === "dark"
          ? `hsl(28 80% ${Math.round(18 + 45 * share)}%)`
          : `hsl(24 75% ${Math.round(92 - 52 * share)}%)`;
      ctx.fillRect(Math.floor(i / h.rows) * w, HEIGHT - ((i % h.rows) + 1) * r, Math.max(1, w - 1), r - 1);
    });
    if (cell) {
      ctx.strokeStyle = theme === "dark" ? "#9cc2ff" : "#1450c8";
      ctx.lineWidth = 2;
      ctx.strokeRect(cell.column * w, HEIGHT - (cell.row + 1) * r, w, r);
    }
  }, [h, width, theme, cell]);
  const place = (x: number, y: number): Cell => {
    const b = canvas.current!.getBoundingClientRect();
    return {
      column: Math.min(h.columns - 1, Math.max(0, Math.floor(((x - b.left) / b.width) * h.columns))),
      row: Math.min(h.rows - 1, Math.max(0, Math.floor(((b.bottom - y) / b.height) * h.rows))),
    };
  };
  const key = (e: KeyboardEvent): void => {
    const move: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, 1],
      ArrowDown: [0, -1],
    };
    const by = move[e.key];
    if (e.ctrlKey || e.metaKey || e.altKey || (!by && e.key !== "Enter")) return;
    e.preventDefault();
    if (!by) {
      onCell(at);
      return;
    }
    const next = {
      column: Math.min(h.columns - 1, Math.max(0, at.column + by[0])),
      row: Math.min(h.rows - 1, Math.max(0, at.row + by[1])),
    };
    setAt(next);
    setTip(describe(next));
  };
  return (
    <div
      className="heatmap"
      tabIndex={0}
      role="group"
      aria-label="Heatmap of single profiles by time and value. Arrow keys move, Enter lists a cell's profiles."
      onKeyDown={key}
    >
      <canvas
        ref={canvas}
        data-testid="heatmap"
        aria-hidden="true"
        style={{ width, height: HEIGHT }}
        onPointerMove={(e) => setTip(describe(place(e.clientX, e.clientY)))}
        onPointerLeave={() => setTip("")}
        onClick={(e) => {
          const c = place(e.clientX, e.clientY);
          setAt(c);
          onCell(c);
        }}
      />
      <p className="quiet" aria-live="polite">
        {tip === "" ? "\u00a0" : tip}
      </p>
    </div>
  );
}
