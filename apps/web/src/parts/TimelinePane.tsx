import { type ReactNode, useMemo } from "react";
import { useQuery } from "@tanstack/react-query";
import { formatValue, heightMeasure, heightOf } from "@cinderblock/flame";
import type { Client } from "../api/client.ts";
import type { Selection, Timeline as Values, TimelineSeries } from "../api/types.ts";
import { useTimeline } from "../api/use-timeline.ts";
import { useApp } from "../state/app.tsx";
import { baselineOf } from "../state/compare.ts";
import { filtersThatChangeValues } from "../state/state.ts";
import { formatLength } from "../state/time.ts";
import type { ChartLine } from "../state/timeline.ts";
import { Failure, Loading } from "./Failure.tsx";
import { LINE_COLORS, SIDE_COLORS, Timeline } from "./Timeline.tsx";

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
  if (own.error) return <Failure error={own.error} retry={() => void own.refetch()} />;
  if (other.error) return <Failure error={other.error} retry={() => void other.refetch()} />;
  const measure = heightMeasure(selection.type),
    format = (v: number): string => formatValue(v, measure),
    average = (t: Values): string => format(heightOf(selection.type, t.total, t.coveredMs, t.intervalMs));
  const loaded = now !== undefined && (!baseline || before !== undefined);
  return (
    <div className="course" data-total={now?.total} data-step={now ? now.stepMs / 1000 : undefined}>
      <Loading active={own.isFetching || other.isFetching} />
      <div className="course-tools">
        {baseline ? null : (
          <label>
            Group by:{" "}
            <select value={state.group} onChange={(e) => go({ group: e.target.value }, true)}>
              <option value="">none</option>
              {group !== "" && !(names.data ?? []).includes(group) ? <option>{group}</option> : null}
              {(names.data ?? []).map((n) => (
                <option key={n}>{n}</option>
              ))}
            </select>
          </label>
        )}
        {baseline && now && before ? (
          <ul className="legend" aria-label="Lines" data-testid="averages">
            <li>
              <i style={{ background: SIDE_COLORS.A }} />A {average(before)}
            </li>
            <li>
              <i style={{ background: SIDE_COLORS.B }} />B {average(now)}
            </li>
          </ul>
        ) : null}
        {group !== "" ? (
          <ul className="legend" aria-label="Lines">
            {(now?.series ?? []).map((s, i) => (
              <li key={nameOf(s)}>
                <i style={{ background: LINE_COLORS[i % LINE_COLORS.length] }} />
                {nameOf(s)}
              </li>
            ))}
          </ul>
        ) : null}
        {now ? (
          <span
            className="quiet"
            title={baseline ? "Drag to zoom both sides" : "Drag to zoom; Shift-drag to compare with the rest"}
          >
            Resolution: {formatLength(now.stepMs)}
            {filtered ? " · filtered stacks only" : ""}
          </span>
        ) : null}
      </div>
      {loaded ? (
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
          {...(baseline ? {} : { onPart })}
        />
      ) : (
        <div className="timeline" />
      )}
    </div>
  );
}
