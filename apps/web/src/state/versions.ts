import type { Series } from "../api/types.ts";

/** Labels that say which release of a program a profile is of, the usual one first. */
export const VERSION_LABELS = [
  "version",
  "service_version",
  "app_version",
  "release",
  "service_git_ref",
] as const;

/** Two values of a label to compare, and when the earlier one was seen. */
export interface VersionPair {
  now: string;
  before: string;
  fromMs: number;
  untilMs: number;
}

/**
 * The value of a label that is in use, and the one before it: `current`, or what was seen last; before it came what began
 * latest of those that began earlier. Where that runs to the end as well, it is compared at the same time; where it ended, over
 * its last stretch of the same length.
 * @param series lines by that label, a point each `stepMs`, of a time that ends at `endMs` and begins before `startMs`
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
  // A point stands behind what it counts, the last of all up to a step before the end.
  const untilMs = before.last > endMs - 2 * stepMs ? endMs : before.last;
  return { now: now.value, before: before.value, fromMs: untilMs - (endMs - startMs), untilMs };
}
