import { parseDuration } from "@cinderblock/config";
import { CinderblockError, invalidError } from "@cinderblock/errors";
import { ANNOTATION_THROTTLED, type Annotation } from "@cinderblock/model";
import type { IngestionLimit } from "@cinderblock/tenant";

function mapping(value: unknown, where: string, keys: readonly string[]): Map<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalidError(`${where}: expected ${keys.join(", ")}`);
  for (const key of Object.keys(value))
    if (keys.length > 0 && !keys.includes(key)) throw invalidError(`${where}: unknown key ${key}`);
  return new Map(Object.entries(value));
}
function numberOf(value: unknown, where: string): number {
  if (value === undefined) return 0;
  if (typeof value !== "number" || !(value >= 0))
    throw invalidError(`${where}: expected a number, found ${JSON.stringify(value)}`);
  return value;
}
function flagOf(value: unknown, where: string): boolean {
  if (value !== undefined && typeof value !== "boolean")
    throw invalidError(`${where}: expected true or false, found ${JSON.stringify(value)}`);
  return value === true;
}

/**
 * v1's `ingestion_limit`: period_type, period_limit_mb, limit_reset_time (Unix seconds), limit_reached,
 * sampling {num_requests, period}, usage_groups {name: {period_limit_mb, limit_reached}}.
 */
export function parseIngestionLimit(value: unknown, where: string): IngestionLimit | undefined {
  if (value === null || value === undefined || value === "") return undefined;
  const all = mapping(value, where, [
    "period_type",
    "period_limit_mb",
    "limit_reset_time",
    "limit_reached",
    "sampling",
    "usage_groups",
  ]);
  const periodType = all.get("period_type") ?? "";
  if (typeof periodType !== "string") throw invalidError(`${where}: period_type: expected a word like hour`);
  const sampling =
    all.get("sampling") == null
      ? undefined
      : mapping(all.get("sampling"), `${where}: sampling`, ["num_requests", "period"]);
  const groupsOverLimit: { name: string; periodLimitMb: number }[] = [];
  if (all.get("usage_groups") != null) {
    for (const [name, entry] of mapping(all.get("usage_groups"), `${where}: usage_groups`, [])) {
      const group = mapping(entry, `${where}: usage_groups: ${name}`, ["period_limit_mb", "limit_reached"]);
      const periodLimitMb = numberOf(
        group.get("period_limit_mb"),
        `${where}: usage_groups: ${name}: period_limit_mb`,
      );
      if (flagOf(group.get("limit_reached"), `${where}: usage_groups: ${name}: limit_reached`))
        groupsOverLimit.push({ name, periodLimitMb });
    }
  }
  const periodMs = sampling ? parseDuration(String(sampling.get("period") ?? "0s")) : 0,
    requests = sampling ? numberOf(sampling.get("num_requests"), `${where}: sampling: num_requests`) : 0;
  return {
    periodType,
    periodLimitMb: numberOf(all.get("period_limit_mb"), `${where}: period_limit_mb`),
    resetMs: numberOf(all.get("limit_reset_time"), `${where}: limit_reset_time`) * 1000,
    reached: flagOf(all.get("limit_reached"), `${where}: limit_reached`),
    trickle: requests > 0 && periodMs > 0 ? { requests, periodMs } : undefined,
    groupsOverLimit,
  };
}

/**
 * Passes the trickle of a tenant that has used up its volume, and refuses other pushes. One per distributor,
 * as in v1.
 */
export class IngestionGate {
  private readonly windows = new Map<string, { from: number; used: number }>();

  private window(
    tenant: string,
    limit: IngestionLimit,
    nowMs: number,
  ): { from: number; used: number } | undefined {
    const { trickle } = limit;
    if (!trickle) return undefined;
    let w = this.windows.get(tenant);
    if (!w || nowMs - w.from >= trickle.periodMs) this.windows.set(tenant, (w = { from: nowMs, used: 0 }));
    return w;
  }

  /** Counts an accepted push of a usage group in the trickle. */
  use(tenant: string, limit: IngestionLimit, nowMs: number): void {
    const w = this.window(tenant, limit, nowMs);
    if (w) w.used++;
  }

  /**
   * Whether a push may pass although a limit is reached. For a tenant over its own limit, counts the push.
   * Whether a push belongs to a usage group over its limit is known only later; then the caller counts it
   * with `use`.
   * @throws `limit` with the reason ingest_limit_reached
   */
  check(tenant: string, limit: IngestionLimit | undefined, nowMs: number): boolean {
    if (!limit || (!limit.reached && limit.groupsOverLimit.length === 0)) {
      if (this.windows.size > 0) this.windows.delete(tenant);
      return false;
    }
    const w = this.window(tenant, limit, nowMs);
    const left = w !== undefined && w.used < limit.trickle!.requests;
    if (!limit.reached) return left;
    if (left) {
      w.used++;
      return true;
    }
    throw overLimitError(
      `limit of ${limit.periodLimitMb} MB${limit.periodType === "" ? "" : ` per ${limit.periodType}`} reached${limit.resetMs > 0 ? `, next reset at ${new Date(limit.resetMs).toISOString()}` : ""}`,
    );
  }
}

/**
 * Annotation of a profile that was accepted although a limit was reached; Grafana reads it. `group` is "" for
 * the tenant's own limit.
 */
export function throttledAnnotation(limit: IngestionLimit, group: string, periodLimitMb: number): Annotation {
  const { periodType, resetMs, trickle } = limit;
  return {
    key: ANNOTATION_THROTTLED,
    value: JSON.stringify({
      body: {
        periodType,
        periodLimitMb,
        limitResetTime: resetMs / 1000,
        samplingPeriodSec: (trickle?.periodMs ?? 0) / 1000,
        samplingRequests: trickle?.requests ?? 0,
        usageGroup: group,
      },
    }),
  };
}

/** Error of a push beyond a volume limit. */
export function overLimitError(message: string): CinderblockError {
  return new CinderblockError("limit", message, { reason: "ingest_limit_reached" });
}
