import type { Series } from "../api/types.ts";

/** Labels that name the release of a profile's program, the most common first. */
export const VERSION_LABELS = [
  "version",
  "service_version",
  "app_version",
  "release",
  "service_git_ref",
] as const;

/** Two values of a label to compare, and a time range of the earlier value. */
export interface VersionPair {
  now: string;
  before: string;
  fromMs: number;
  untilMs: number;
}

/**
 * The current value of a label (`current`, or the value seen last) and its predecessor: of the values that
 * began earlier, the latest. A predecessor that runs to the end is compared over the same time; otherwise
 * over its last interval of the same length.
 * @param series time series by that label with a point each `stepMs`, from before `startMs` to `endMs`
 */
export function versionPair(
  series: readonly Series[],
  label: string,
  current: string | undefined,
  startMs: number,
  endMs: number,
  stepMs: number,
): VersionPair | undefined {
  const seen = series.flatMap((s) => {
    const ms = s.points.filter((p) => p.value > 0).map((p) => p.ms),
      value = s.labels[label] ?? "";
    return value === "" || ms.length === 0 ? [] : [{ value, first: Math.min(...ms), last: Math.max(...ms) }];
  });
  const now =
    current === undefined
      ? seen.sort((a, b) => b.last - a.last || b.first - a.first)[0]
      : seen.find((s) => s.value === current);
  if (!now) return undefined;
  const before = seen
    .filter((s) => s.value !== now.value && s.first < now.first)
    .sort((a, b) => b.first - a.first)[0];
  if (!before) return undefined;
  // A point has the end time of its step; the last point may be up to one step before the end.
  const untilMs = before.last > endMs - 2 * stepMs ? endMs : before.last;
  return { now: now.value, before: before.value, fromMs: untilMs - (endMs - startMs), untilMs };
}
