import { CinderblockError, type Condition, invalidError } from "@cinderblock/errors";
import type { Limits } from "@cinderblock/tenant";

export interface TimeRange {
  startMs: number;
  endMs: number;
}

function goDuration(ms: number): string {
  const s = Math.floor(ms / 1000);
  return `${Math.floor(s / 3600)}h${Math.floor((s % 3600) / 60)}m${(ms % 60000) / 1000}s`;
}

function shortDuration(ms: number): string {
  if (ms % 864e5 === 0) return ms % (7 * 864e5) === 0 ? `${ms / (7 * 864e5)}w` : `${ms / 864e5}d`;
  return goDuration(ms);
}

/** The range of a select call, after the limits of look-back and length; undefined: all of it is too old. */
export function selectRange(
  startMs: number,
  endMs: number,
  limits: Limits,
  nowMs: number,
): TimeRange | undefined {
  if (startMs === 0 || endMs === 0) throw invalidError("missing time range in the query");
  if (startMs > endMs) throw invalidError("query start time is after end time");
  let start = startMs;
  if (limits.maxQueryLookbackMs > 0) {
    const oldest = nowMs - limits.maxQueryLookbackMs;
    if (endMs < oldest) return undefined;
    start = Math.max(start, oldest);
  }
  if (limits.maxQueryLengthMs > 0 && endMs - start > limits.maxQueryLengthMs) {
    throw new CinderblockError(
      "invalid",
      `the query time range exceeds the limit (max_query_length, actual: ${goDuration(endMs - start)}, limit: ${shortDuration(limits.maxQueryLengthMs)})`,
      { detail: { condition: "query-too-long" satisfies Condition, limit: limits.maxQueryLengthMs } },
    );
  }
  return { startMs: start, endMs };
}

/** The range of a label call. A missing start or end means no range, which covers the look-back. */
export function labelRange(
  startMs: number,
  endMs: number,
  limits: Limits,
  nowMs: number,
): TimeRange | undefined {
  const lookback = limits.maxQueryLookbackMs;
  if (startMs === 0 || endMs === 0)
    return lookback > 0 ? { startMs: nowMs - lookback, endMs: nowMs + 864e5 } : { startMs: 0, endMs: 0 };
  if (startMs > endMs) throw invalidError("query start time is after end time");
  if (lookback > 0 && endMs < nowMs - lookback) return undefined;
  return { startMs: lookback > 0 ? Math.max(startMs, nowMs - lookback) : startMs, endMs };
}

/** Number of nodes of a flame graph: 0 requests the tenant's default. */
export function flameGraphNodes(asked: number, limits: Limits): number {
  if (asked === 0) return limits.maxFlamegraphNodesDefault;
  if (limits.maxFlamegraphNodesMax > 0) {
    if (asked < 0)
      throw new CinderblockError(
        "invalid",
        `max flamegraph nodes limit ${asked} must not be negative; at most ${limits.maxFlamegraphNodesMax} are allowed`,
      );
    if (asked > limits.maxFlamegraphNodesMax)
      throw invalidError(
        `max flamegraph nodes limit ${asked} is greater than allowed ${limits.maxFlamegraphNodesMax}`,
      );
  }
  return Math.max(0, asked);
}

/**
 * Number of nodes of a call tree of the explore API: 0 requests the tenant's default, a negative number the
 * tenant's maximum. A result of 0 means all nodes.
 */
export function callTreeNodes(asked: number, limits: Limits): number {
  return asked < 0 ? limits.maxFlamegraphNodesMax : flameGraphNodes(asked, limits);
}
