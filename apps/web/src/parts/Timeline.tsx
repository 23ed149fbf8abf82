import { type ReactNode, useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Series } from "../api/types.ts";
import { annotationSpans } from "../state/annotations.ts";
import { formatTime, zoneName } from "../state/time.ts";
import { useTheme } from "./theme.ts";

/** Hues of lines: distinguishable with color vision deficiencies, and named in the legend. */
export const LINE_COLORS = [
  "#3b6fd6",
  "#d9822b",
  "#2e9e6b",
  "#b14fb5",
  "#c4433f",
  "#5f7d8c",
  "#8a6d1f",
  "#4a4fd0",
];

/**
 * Labels of a time axis by tick distance in seconds: the date under the first tick and at each change of day.
 */
const AXIS: readonly unknown[][] = [
  [86400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
];

interface Props {
  series: Series[];
  nameOf: (s: Series) => string;
  fromMs: number;
  untilMs: number;
  stepS: number;
  zone: string;
  format: (value: number) => string;
  label: string;
  onRange: (fromMs: number, untilMs: number) => void;
  /** range selected with Shift held: to compare with the rest */
  onPart?: (fromMs: number, untilMs: number) => void;
}

/** Marks points with missing profiles: a small triangle above each. */
function drawRemarks(plot: uPlot, series: readonly Series[], colour: string): void {
  const { ctx, bbox } = plot,
    size = 5 * devicePixelRatio;
  ctx.save();
  ctx.fillStyle = colour;
  for (const ms of new Set(
    series.flatMap((s) => s.points.filter((p) => p.annotations.length > 0).map((p) => p.ms)),
  )) {
    const x = plot.valToPos(ms / 1000, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x - size, bbox.top);
    ctx.lineTo(x + size, bbox.top);
    ctx.lineTo(x, bbox.top + 1.6 * size);
    ctx.fill();
  }
  ctx.restore();
}

/** Values over time; dragging selects a range. */
export function Timeline(props: Props): ReactNode {
  const { series, nameOf, fromMs, untilMs, stepS, zone, label } = props;
  const host = useRef<HTMLDivElement>(null);
  const theme = useTheme();
  const latest = useRef(props);
  latest.current = props;
  const shift = useRef(false);

  useEffect(() => {
    const el = host.current!;
    const times: number[] = [];
    for (let t = Math.floor(fromMs / 1000); t <= untilMs / 1000; t += stepS) times.push(t);
    const columns = series.map((s) => {
      const column: number[] = new Array(times.length).fill(0);
      for (const p of s.points) {
        const i = Math.round((p.ms / 1000 - times[0]!) / stepS);
        if (i >= 0 && i < column.length) column[i]! += p.value;
      }
      return column;
    });
    const ink = theme === "dark" ? "#c9c9d2" : "#45454f",
      grid = theme === "dark" ? "#33333c" : "#e3e3e9";
    const plot = new uPlot(
      {
        width: el.clientWidth,
        height: 120,
        legend: { show: false },
        cursor: { drag: { x: true, y: false, setScale: false }, y: false, points: { size: 6 } },
        tzDate: (s) =>
          uPlot.tzDate(
            new Date(s * 1000),
            zoneName(zone) ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
          ),
        scales: {
          x: { time: true, min: fromMs / 1000, max: untilMs / 1000 },
          y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.08 : 1] },
        },
        axes: [
          {
            stroke: ink,
            grid: { stroke: grid, width: 1 },
            ticks: { stroke: grid },
            space: 70,
            values: AXIS as never,
          },
          {
            stroke: ink,
            grid: { stroke: grid, width: 1 },
            ticks: { stroke: grid },
            size: 100,
            space: 26,
            values: (_u, v) => v.map((x) => latest.current.format(x)),
          },
        ],
        series: [
          {},
          ...series.map((s, i) => ({
            label: nameOf(s),
            stroke: LINE_COLORS[i % LINE_COLORS.length]!,
            fill: series.length === 1 ? `${LINE_COLORS[0]}33` : undefined!,
            width: 1.5,
            points: { show: false },
          })),
        ],
        hooks: {
          draw: [(u) => drawRemarks(u, series, theme === "dark" ? "#ffd98a" : "#b26a00")],
          setSelect: [
            (u) => {
              if (u.select.width < 4) return;
              const from = u.posToVal(u.select.left, "x") * 1000,
                until = u.posToVal(u.select.left + u.select.width, "x") * 1000;
              u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              const { onRange, onPart } = latest.current;
              (shift.current && onPart ? onPart : onRange)(Math.round(from), Math.round(until));
            },
          ],
        },
      },
      [times, ...columns],
      el,
    );
    const resize = new ResizeObserver(() => plot.setSize({ width: el.clientWidth, height: 120 }));
    resize.observe(el);
    return () => {
      resize.disconnect();
      plot.destroy();
    };
  }, [series, fromMs, untilMs, stepS, zone, theme]);

  const remarks = annotationSpans(series, zone);
  return (
    <>
      <div
        className="timeline"
        ref={host}
        role="img"
        aria-label={label}
        onMouseDownCapture={(e) => {
          shift.current = e.shiftKey;
        }}
      />
      {remarks.length > 0 ? (
        <ul className="remarks partial" aria-label="Remarks">
          {remarks.map((r) => (
            <li key={r.text}>
              ▾ {formatTime(r.fromMs, zone)}
              {r.untilMs > r.fromMs ? ` – ${formatTime(r.untilMs, zone)}` : ""}: {r.text}
            </li>
          ))}
        </ul>
      ) : null}
    </>
  );
}
