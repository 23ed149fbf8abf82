import { lazy, type ReactNode, Suspense, useMemo, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { formatValue, heightMeasure, heightOf } from "@cinderblock/flame";
import type { Client } from "../api/client.ts";
import type { Selection, Timeline as Values, TimelineSeries } from "../api/types.ts";
import { useTimeline } from "../api/use-timeline.ts";
import { useApp } from "../state/app.tsx";
import { baselineOf } from "../state/compare.ts";
import { filtersThatChangeValues } from "../state/state.ts";
import { formatLength, formatTime } from "../state/time.ts";
import { namedTypes } from "../state/type-names.ts";
import type { ChartLine } from "../state/timeline.ts";
import { Failure, Loading } from "./Failure.tsx";
import { IconButton } from "./Controls.tsx";
import { Icon } from "./Icon.tsx";
import { LINE_COLORS } from "./line-colors.ts";

/** Name of a profile type. */
function nameOfType(type: string): string {
  return namedTypes([type])[0]?.name ?? type;
}

/** The chart, with its library: the flame graph does not wait for it. */
const Timeline = lazy(() => import("./Timeline.tsx").then((m) => ({ default: m.Timeline })));

const COLLAPSED = "cinderblock.timeline";

/** The label names of a selection. */
export function labelNamesQuery(
  client: Client,
  s: { selector: string; startMs: number; endMs: number },
): { queryKey: unknown[]; queryFn: (c: { signal: AbortSignal }) => Promise<string[]> } {
  return {
    queryKey: ["names", client.tenant, s.selector, s.startMs, s.endMs],
    queryFn: ({ signal }) => client.labelNames([s.selector], s.startMs, s.endMs, signal),
  };
}

/**
 * Values over time of a selection, by a label or as a whole; or of both sides of a comparison, as two lines of
 * one chart with one step and one y axis.
 */
export function TimelinePane({
  selection,
  baseline,
  onPart,
}: {
  selection: Selection;
  baseline: Selection | undefined;
  /** range that is selected with Shift held */
  onPart: (fromMs: number, untilMs: number) => void;
}): ReactNode {
  const { state, go, client, can, nowMs } = useApp();
  const [hover, setHover] = useState<{ ms: number; heights: (number | undefined)[] }>(),
    [collapsed, setCollapsed] = useState(() => localStorage.getItem(COLLAPSED) === "1");
  const collapse = (to: boolean): void => {
    setCollapsed(to);
    localStorage.setItem(COLLAPSED, to ? "1" : "0");
  };
  const group = baseline ? "" : state.group,
    filtered = can?.explore === true && filtersThatChangeValues(selection.stacks) !== undefined;
  const own = useTimeline(selection, group),
    other = useTimeline(baseline, "");
  // The coarser of both steps is the step of both.
  const commonMs =
    baseline && own.data && other.data ? Math.max(own.data.value.stepMs, other.data.value.stepMs) : undefined;
  const again = useTimeline(selection, group, {
      stepMs: commonMs,
      enabled: commonMs !== undefined && commonMs !== own.data!.value.stepMs,
    }),
    otherAgain = useTimeline(baseline, "", {
      stepMs: commonMs,
      enabled: commonMs !== undefined && commonMs !== other.data!.value.stepMs,
    });
  const names = useQuery({ ...labelNamesQuery(client, selection), enabled: baseline === undefined });
  const pick = (first: typeof own, second: typeof own): Values | undefined =>
    commonMs === undefined || first.data?.value.stepMs === commonMs ? first.data?.value : second.data?.value;
  const now = pick(own, again),
    before = baseline ? pick(other, otherAgain) : undefined;
  const nameOf = (s: TimelineSeries): string => (group !== "" ? (s.labels[group] ?? "(none)") : "all");
  const compared = baseline !== undefined,
    { startMs } = selection,
    baseStartMs = baseline?.startMs ?? 0;
  const lines = useMemo(
    (): ChartLine[] => [
      ...(now?.series ?? []).map((series) => ({
        name: compared ? "B" : nameOf(series),
        series,
        timeline: now!,
        originMs: startMs,
      })),
      ...(before?.series ?? []).map((series) => ({
        name: "A",
        series,
        timeline: before!,
        originMs: baseStartMs,
      })),
    ],
    [now, before, group, compared, startMs, baseStartMs],
  );
  const measure = heightMeasure(selection.type),
    format = (v: number): string => formatValue(v, measure),
    average = (t: Values): string => format(heightOf(selection.type, t.total, t.coveredMs, t.intervalMs));
  const heightText = (v: number | undefined): string => (v === undefined ? "–" : format(v)),
    resolution = `Resolution: ${now ? formatLength(now.stepMs) : "…"}. ${baseline ? "Drag to zoom both sides" : "Drag to zoom; Shift-drag to compare with the rest"}`;
  const error = own.error ?? other.error,
    retry = (): void => void (own.error ? own : other).refetch();
  const loaded = now !== undefined && (!baseline || before !== undefined);
  return (
    <div
      className={`course${collapsed ? " collapsed" : ""}${group !== "" ? " grouped" : ""}`}
      data-total={now?.total}
      data-step={now ? now.stepMs / 1000 : undefined}
    >
      <Loading active={own.isFetching || other.isFetching} />
      {collapsed ? (
        <button type="button" className="plain" onClick={() => collapse(false)}>
          <Icon name="down" size={12} /> {nameOfType(selection.type)} over time
        </button>
      ) : error && !loaded ? (
        <Failure error={error} retry={retry} />
      ) : loaded ? (
        <Suspense fallback={<div className="timeline" aria-busy="true" />}>
          {" "}
          <Timeline
            type={selection.type}
            lines={lines}
            sides={baseline !== undefined}
            fromMs={selection.startMs}
            untilMs={
              selection.startMs +
              Math.max(selection.endMs - selection.startMs, baseline ? baseline.endMs - baseline.startMs : 0)
            }
            zone={state.zone}
            format={format}
            label={`Values over time${baseline ? ", A and B" : ""}`}
            onRange={(from, until) =>
              go((s) => ({
                side: { ...s.side, from: String(from), until: String(until) },
                ...(baseline
                  ? {
                      baseline: {
                        ...baselineOf(s, nowMs),
                        from: String(from - selection.startMs + baseline.startMs),
                        until: String(until - selection.startMs + baseline.startMs),
                      },
                    }
                  : {}),
              }))
            }
            onHover={setHover}
            {...(baseline ? {} : { onPart })}
          />
        </Suspense>
      ) : (
        <div className="timeline" />
      )}
      {collapsed ? null : (
        <div className="course-side">
          <div className="course-title">
            <strong className="ellipsis">{nameOfType(selection.type)}</strong>
            <IconButton icon="up" name="Collapse time line" onClick={() => collapse(true)} />
          </div>
          {baseline ? (
            now && before ? (
              <ul className="legend" aria-label="Lines" data-testid="averages">
                {(["A", "B"] as const).map((side) => (
                  <li key={side}>
                    <i className={`line-${side.toLowerCase()}`} />
                    {side}{" "}
                    {hover
                      ? heightText(hover.heights[lines.findIndex((l) => l.name === side)])
                      : average(side === "A" ? before : now)}
                  </li>
                ))}
              </ul>
            ) : null
          ) : (
            <>
              <span className="quiet hovered ellipsis" title={resolution}>
                {hover && group === ""
                  ? `${formatTime(hover.ms, state.zone).slice(11)} · ${heightText(hover.heights[0])}`
                  : now
                    ? `${filtered ? "filtered stacks only" : `avg ${average(now)}`}`
                    : ""}
              </span>
              {group !== "" ? (
                <ul className="legend" aria-label="Lines">
                  {(now?.series ?? []).map((s, i) => (
                    <li key={nameOf(s)} className="ellipsis" title={nameOf(s)}>
                      <i style={{ background: LINE_COLORS[i % LINE_COLORS.length] }} />
                      {nameOf(s)}
                      {hover ? ` ${heightText(hover.heights[i])}` : ""}
                    </li>
                  ))}
                </ul>
              ) : null}
              <label className="group-by">
                Group by:{" "}
                <select value={state.group} onChange={(e) => go({ group: e.target.value }, true)}>
                  <option value="">none</option>
                  {group !== "" && !(names.data ?? []).includes(group) ? <option>{group}</option> : null}
                  {(names.data ?? []).map((n) => (
                    <option key={n}>{n}</option>
                  ))}
                </select>
              </label>
            </>
          )}
        </div>
      )}
    </div>
  );
}
