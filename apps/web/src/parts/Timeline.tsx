import { type ReactNode, useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { annotationSpans } from "../state/annotations.ts";
import { formatTime, zoneName } from "../state/time.ts";
import { chartColumns, isolatedPoints, type ChartLine } from "../state/timeline.ts";
import { plural, withoutUnit } from "../state/words.ts";
import { LINE_COLORS } from "./line-colors.ts";
import { useTheme } from "./theme.ts";

/**
 * Labels of a time axis by tick distance in seconds: the date at each change of day.
 */
const AXIS: readonly unknown[][] = [
  [86400, "{MM}-{DD}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", null, null, "{MM}-{DD} {HH}:{mm}", null, null, null, 0],
  [1, "{HH}:{mm}:{ss}", null, null, "{MM}-{DD} {HH}:{mm}:{ss}", null, null, null, 0],
];
const FONT = "11px Inter, system-ui, 'DejaVu Sans', sans-serif";

/** Colors of the sides of a comparison: the baseline A is dashed. */
const SIDE_COLORS = {
    light: { A: "#1760b8", B: "#b8480a" },
    dark: { A: "#7db3ff", B: "#ffa163" },
  } as const,
  ACCENT = { light: "#5145cd", dark: "#a99eff" } as const;

interface Props {
  type: string;
  lines: ChartLine[];
  /** the lines are the sides A and B of a comparison */
  sides: boolean;
  fromMs: number;
  untilMs: number;
  zone: string;
  format: (value: number) => string;
  label: string;
  onRange: (fromMs: number, untilMs: number) => void;
  /** range selected with Shift held: to compare with the rest */
  onPart?: (fromMs: number, untilMs: number) => void;
  /** the point under the pointer: its time and the heights of the lines; undefined outside */
  onHover?: (at: { ms: number; heights: (number | undefined)[] } | undefined) => void;
}

/** Marks points with missing profiles: a small triangle above each. */
function drawRemarks(plot: uPlot, lines: readonly ChartLine[], fromMs: number, colour: string): void {
  const { ctx, bbox } = plot,
    size = 5 * devicePixelRatio;
  ctx.save();
  ctx.fillStyle = colour;
  for (const ms of new Set(
    lines.flatMap(({ series, timeline, originMs }) =>
      series.points
        .filter((p) => p.annotations.length > 0)
        .map((p) => p.ms - originMs + fromMs - timeline.stepMs / 2),
    ),
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
  const { type, lines, sides, fromMs, untilMs, zone, label } = props;
  const host = useRef<HTMLDivElement>(null);
  const theme = useTheme();
  const latest = useRef(props);
  latest.current = props;
  const shift = useRef(false);

  useEffect(() => {
    const el = host.current!;
    const { times, heights } = chartColumns(type, lines, fromMs, untilMs);
    const colorOf = (l: ChartLine, i: number): string =>
      sides
        ? SIDE_COLORS[theme][l.name === "A" ? "A" : "B"]
        : lines.length === 1
          ? ACCENT[theme]
          : LINE_COLORS[i % LINE_COLORS.length]!;
    const ink = theme === "dark" ? "#8f97a5" : "#5f6776",
      grid = theme === "dark" ? "#272c35" : "#e1e4ea";
    const plot = new uPlot(
      {
        width: el.clientWidth,
        height: el.clientHeight,
        padding: [6, 4, 0, 0],
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
            size: 20,
            gap: 2,
            font: FONT,
            values: AXIS as uPlot.Axis.Values,
          },
          {
            stroke: ink,
            grid: { stroke: grid, width: 1 },
            ticks: { stroke: grid },
            size: 60,
            gap: 4,
            font: FONT,
            splits: (u) => [0, (u.scales.y!.max ?? 1) / 1.08],
            values: (_u, v) => v.map((x) => withoutUnit(latest.current.format(x))),
          },
        ],
        series: [
          {},
          ...lines.map((l, i) => ({
            label: l.name,
            stroke: colorOf(l, i),
            fill: lines.length === 1 ? `${colorOf(l, i)}1c` : undefined!,
            width: 1.5,
            spanGaps: false,
            ...(sides && l.name === "A" ? { dash: [6, 4] } : {}),
            points: {
              show: true,
              size: 4,
              filter: (u: uPlot, k: number) => isolatedPoints(u.data[k] as (number | null | undefined)[]),
            },
          })),
        ],
        hooks: {
          setCursor: [
            (u) => {
              const i = u.cursor.idx;
              latest.current.onHover?.(
                i == null || (u.cursor.left ?? -1) < 0
                  ? undefined
                  : {
                      ms: u.data[0][i]! * 1000,
                      heights: lines.map((_, k) => u.data[k + 1]![i] ?? undefined),
                    },
              );
            },
          ],
          draw: [(u) => drawRemarks(u, lines, fromMs, theme === "dark" ? "#ffd98a" : "#b26a00")],
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
      [times, ...heights],
      el,
    );
    const resize = new ResizeObserver(() => plot.setSize({ width: el.clientWidth, height: el.clientHeight }));
    resize.observe(el);
    return () => {
      resize.disconnect();
      plot.destroy();
    };
  }, [type, lines, sides, fromMs, untilMs, zone, theme]);

  const remarks = annotationSpans(
    lines.map((l) => l.series),
    zone,
  );
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
        <details className="notice remarks">
          <summary>{plural(remarks.length, "remark")}</summary>
          <ul aria-label="Remarks">
            {remarks.map((r) => (
              <li key={r.text}>
                ▾ {formatTime(r.fromMs, zone)}
                {r.untilMs > r.fromMs ? ` – ${formatTime(r.untilMs, zone)}` : ""}: {r.text}
              </li>
            ))}
          </ul>
        </details>
      ) : null}
    </>
  );
}
