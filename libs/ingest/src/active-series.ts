import { encodeUtf8, type Hasher } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { type Labels, labelsKey } from "@cinderblock/model";

/** A series counts as active for so long after its last profile, as in v1. */
const ACTIVE_MS = 600_000,
  SWEEP_MS = 60_000;

interface Tenant {
  seen: Map<bigint, { types: number; atMs: number }>;
  sweptMs: number;
  count: Int32Array;
}

/**
 * Active series of tenants, for their limit: those that are known go on when it is reached, new ones are refused. A label set
 * counts once for each of its sample types.
 */
export class ActiveSeries {
  private readonly tenants = new Map<string, Tenant>();

  /** Threads that share a tenant's limit count in one word. */
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

  /** Whether a series' profile may come; the series is active then. @param max 0: no limit. `elsewhere` says whether others know a series that is new here */
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

  /** Tenants with active series: how many, and which. */
  list(nowMs: number): { tenant: string; series: BigUint64Array }[] {
    return [...this.tenants].map(([tenant, t]) => {
      this.sweep(t, nowMs);
      return { tenant, series: BigUint64Array.from(t.seen.keys()) };
    });
  }
}

/** What a push is refused with, in v1's words. */
export function tooManySeries(count: number, max: number): CinderblockError {
  return new CinderblockError(
    "limit",
    `Maximum active series limit exceeded (${count}/${max}), reduce the number of active streams (reduce labels or reduce label values), or contact your administrator to see if the limit can be increased`,
    { reason: "series_limit" },
  );
}

/** The hash by which a label set is known to other threads and processes; label sets are shared objects, so that most are hashed once. */
export function labelHashes(hasher: Hasher): (labels: Labels) => bigint {
  const known = new WeakMap<Labels, bigint>();
  return (labels) => {
    let h = known.get(labels);
    if (h === undefined) known.set(labels, (h = hasher.h64(encodeUtf8(labelsKey(labels)))));
    return h;
  };
}
