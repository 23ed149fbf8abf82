import { useQuery, type UseQueryResult } from "@tanstack/react-query";
import { isGauge, type ValueUnit, measureOf, timelineStep } from "@cinderblock/flame";
import { useApp } from "../state/app.tsx";
import { basisOf } from "../state/compare.ts";
import { filtersThatChangeValues } from "../state/state.ts";
import type { ApiAnswer } from "./client.ts";
import { withoutFocus } from "./comparison.ts";
import { keepAnswersOfType } from "./keeping-type.ts";
import type { Selection, Timeline } from "./types.ts";

/** Number of lines of a time line that is grouped by a label. */
const MAX_LINES = 8;

/** The time line of a selection. `stepMs` is its minimum step; by default as short as fits on the screen. */
export function useTimeline(
  selection: Selection | undefined,
  group: string,
  options: { enabled?: boolean; stepMs?: number | undefined; limit?: number } = {},
): UseQueryResult<ApiAnswer<Timeline>> {
  const { client, can } = useApp(),
    s = selection ?? NOTHING,
    stepMs = options.stepMs ?? timelineStep(s.endMs - s.startMs, 0) * 1000,
    limit = options.limit ?? (group === "" ? 0 : MAX_LINES),
    stacks = filtersThatChangeValues(s.stacks);
  return useQuery({
    queryKey: [
      "timeline",
      client.tenant,
      s.type,
      s.selector,
      s.startMs,
      s.endMs,
      stacks,
      s.profileIds,
      group,
      stepMs,
      limit,
    ],
    enabled: selection !== undefined && can !== undefined && options.enabled !== false,
    ...keepAnswersOfType(s.type),
    queryFn: ({ signal }) =>
      client.timeline(s, stepMs, group === "" ? [] : [group], limit, can?.explore === true, signal),
  });
}

const NOTHING: Selection = {
  type: "",
  selector: "{}",
  startMs: 0,
  endMs: 1,
  stacks: { callSite: [], only: [], without: [], hide: [] },
  profileIds: [],
};

/**
 * Unit of a selection's values, by the state's choice of totals or rates. Its covered time comes from the
 * query of the time line.
 */
export function useValueUnit(selection: Selection | undefined): ValueUnit {
  const { state } = useApp(),
    rate = basisOf(state) === "rate",
    timed = rate || isGauge(state.type),
    { data, isPlaceholderData } = useTimeline(
      selection && withoutFocus(selection),
      state.screen === "compare" ? "" : state.group,
      { enabled: timed },
    );
  return measureOf(state.type, rate, isPlaceholderData ? undefined : data?.value);
}
