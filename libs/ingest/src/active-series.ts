import { encodeUtf8, type Hasher } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { type Labels, labelsKey } from "@cinderblock/model";

/** Time that a series counts as active after its last profile, as in v1. */
const ACTIVE_MS = 600_000,
  SWEEP_MS = 60_000;

interface Tenant {
  seen: Map<bigint, { types: number; atMs: number }>;
  sweptMs: number;
  count: Int32Array;
}

/**
 * Counts active series per tenant for their limit: at the limit, known series continue and new ones are
 * refused. A label set counts once for each of its sample types.
 */
export class ActiveSeries {
  private readonly tenants = new Map<string, Tenant>();

  /** Makes threads share a tenant's count in one 32-bit word. */
  share(tenant: string, count: SharedArrayBuffer): void {
    this.of(tenant, new Int32Array(count));
  }

  private of(tenant: string, count?: Int32Array): Tenant {
    let t = this.tenants.get(tenant);
    if (!t)
      this.tenants.set(tenant, (t = { seen: new Map(), sweptMs: 0, count: count ?? new Int32Array(1) }));
    return t;
  }

  count(tenant: string): number {
    const t = this.tenants.get(tenant);
    return t ? Atomics.load(t.count, 0) : 0;
  }

  has(tenant: string, series: bigint): boolean {
    return this.tenants.get(tenant)?.seen.has(series) === true;
  }

  /**
   * Whether to accept a series' profile, which then marks the series active.
   * @param max 0: no limit
   * @param elsewhere whether others know a series that is new here
   */
  admit(
    tenant: string,
    series: bigint,
    types: number,
    max: number,
    nowMs: number,
    elsewhere?: (series: bigint) => boolean,
  ): boolean {
    const t = this.of(tenant);
    if (nowMs - t.sweptMs > SWEEP_MS) this.sweep(t, nowMs);
    const known = t.seen.get(series);
    if (known) {
      known.atMs = nowMs;
      return true;
    }
    if (max > 0 && Atomics.load(t.count, 0) + types > max && elsewhere?.(series) !== true) return false;
    t.seen.set(series, { types, atMs: nowMs });
    Atomics.add(t.count, 0, types);
    return true;
  }

  private sweep(t: Tenant, nowMs: number): void {
    t.sweptMs = nowMs;
    for (const [series, s] of t.seen)
      if (nowMs - s.atMs > ACTIVE_MS) {
        t.seen.delete(series);
        Atomics.sub(t.count, 0, s.types);
      }
  }

  /** Hashes of the active series by tenant. */
  list(nowMs: number): { tenant: string; series: BigUint64Array }[] {
    return [...this.tenants].map(([tenant, t]) => {
      this.sweep(t, nowMs);
      return { tenant, series: BigUint64Array.from(t.seen.keys()) };
    });
  }
}

/** Error of a push that exceeds the limit, in v1's words. */
export function seriesLimitError(count: number, max: number): CinderblockError {
  return new CinderblockError(
    "limit",
    `Maximum active series limit exceeded (${count}/${max}), reduce the number of active streams (reduce labels or reduce label values), or contact your administrator to see if the limit can be increased`,
    { reason: "series_limit", detail: { series: count, limit: max } },
  );
}

/**
 * Returns a function that hashes label sets for other threads and processes. Label sets are shared objects,
 * so the function hashes most of them once.
 */
export function labelHashes(hasher: Hasher): (labels: Labels) => bigint {
  const known = new WeakMap<Labels, bigint>();
  return (labels) => {
    let h = known.get(labels);
    if (h === undefined) known.set(labels, (h = hasher.h64(encodeUtf8(labelsKey(labels)))));
    return h;
  };
}
