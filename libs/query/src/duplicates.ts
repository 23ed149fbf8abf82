import type { SourceForm } from "@cinderblock/block";
import { PairTable } from "@cinderblock/columnar";
import type { RowKeys } from "./execute.ts";

/**
 * Rows of one source to skip: single rows, and all rows from `upTo` on (-1: none) except `late`. Rows from
 * `upTo` on were added after the comparison's listing and may be in another source as well. Row numbers
 * belong to `form`, if that is set.
 */
export interface Exclusion {
  form?: SourceForm;
  upTo: number;
  rows: Uint32Array;
  /** rows from `upTo` on that count: each replaces a row that another source had listed */
  late?: Uint32Array;
}

/** Exclusions by ULID of the source. */
export type Exclusions = Record<string, Exclusion>;

/** Position of a row: source, and index in the columns of that source's row keys. */
interface Place {
  source: number;
  at: number;
}

/**
 * Decides which rows each source skips so that every row counts once. Rows with equal (series, time, id) are
 * one profile (docs/correctness.md, "Profile identity"). Where replicas differ, the smallest positive sum
 * stays, because the larger baseline is right (docs/correctness.md, "Cumulative baselines"). Among equal
 * sums, a listed row stays, then the first source's row. A profile that no source had listed does not count.
 * @param listed number of listed rows by the ULID of a head; rows that a head stored later are compared, but
 * count only in place of a listed row: a replica that was away may be listed with the sum of several profiles
 */
export function findDuplicates(
  keys: readonly RowKeys[],
  listed: ReadonlyMap<string, number> = new Map(),
): Exclusions {
  const limits = keys.map((k) => (k.form === "head" ? (listed.get(k.ulid) ?? k.upTo) : Infinity));
  const all = keys.reduce((n, k) => n + k.row.length, 0);
  const table = new PairTable(all);
  const source = new Uint32Array(all),
    at = new Uint32Array(all);
  /** positions of rows whose 64-bit hash equals that of a different row; never observed, but possible */
  const collided = new Map<string, number>();
  const dropped = keys.map(() => [] as number[]);
  /** whether a source had listed the profile, by its position */
  const hasListed = new Uint8Array(all);
  const views = keys.map((k) => ({
    id: new DataView(k.id.buffer, k.id.byteOffset, k.id.byteLength),
    series: words(k.fingerprint),
    time: words(k.timeNanos),
    total: words(k.total),
  }));
  const same = (a: Place, b: Place): boolean => {
    const x = views[a.source]!,
      y = views[b.source]!;
    for (let w = 0; w < 2; w++)
      if (x.series[2 * a.at + w] !== y.series[2 * b.at + w] || x.time[2 * a.at + w] !== y.time[2 * b.at + w])
        return false;
    for (let w = 0; w < 16; w += 4)
      if (x.id.getUint32(16 * a.at + w) !== y.id.getUint32(16 * b.at + w)) return false;
    return true;
  };
  const rowOf = (p: Place): number => keys[p.source]!.row[p.at]!;
  const isLate = (p: Place): boolean => rowOf(p) >= limits[p.source]!;
  const drop = (p: Place): void => {
    if (!isLate(p)) dropped[p.source]!.push(rowOf(p));
  };
  /** whether the sum of b replaces the sum of a */
  const better = (a: Place, b: Place): boolean => {
    const x = views[a.source]!.total,
      y = views[b.source]!.total;
    const positive = (t: Uint32Array, i: number): boolean =>
      (t[2 * i + 1]! | 0) >= 0 && (t[2 * i + 1]! | t[2 * i]!) !== 0;
    const [high, low, otherHigh, otherLow] = [y[2 * b.at + 1]!, y[2 * b.at]!, x[2 * a.at + 1]!, x[2 * a.at]!];
    if (!positive(y, b.at)) return !positive(x, a.at) && isLate(a) && !isLate(b);
    if (!positive(x, a.at) || high < otherHigh || (high === otherHigh && low < otherLow)) return true;
    return high === otherHigh && low === otherLow && isLate(a) && !isLate(b);
  };
  let n = 0;
  keys.forEach((k, s) => {
    const v = views[s]!;
    for (let i = 0; i < k.row.length; i++) {
      const lo = v.id.getUint32(16 * i) ^ Math.imul(v.time[2 * i]!, 0x9e3779b1) ^ v.series[2 * i]!,
        hi = v.id.getUint32(16 * i + 4) ^ Math.imul(v.time[2 * i + 1]!, 0x85ebca6b) ^ v.series[2 * i + 1]!;
      let known = table.getOrSet(lo, hi, n);
      const here = { source: s, at: i };
      if (known >= 0 && !same({ source: source[known]!, at: at[known]! }, here)) {
        const key = [...k.id.subarray(16 * i, 16 * i + 16), k.fingerprint[i], k.timeNanos[i]].join();
        known = collided.get(key) ?? -1;
        if (known < 0) collided.set(key, n);
      }
      if (known < 0) {
        source[n] = s;
        at[n] = i;
        hasListed[n++] = isLate(here) ? 0 : 1;
        continue;
      }
      if (!isLate(here)) hasListed[known] = 1;
      const kept = { source: source[known]!, at: at[known]! };
      if (better(kept, here)) {
        drop(kept);
        source[known] = s;
        at[known] = i;
      } else drop(here);
    }
  });
  const late = keys.map(() => [] as number[]);
  for (let i = 0; i < n; i++) {
    const kept = { source: source[i]!, at: at[i]! };
    if (hasListed[i] === 1 && isLate(kept)) late[kept.source]!.push(rowOf(kept));
  }
  return Object.fromEntries(
    keys.map((k, s) => [
      k.ulid,
      {
        form: k.form,
        upTo: k.form === "head" ? limits[s]! : -1,
        rows: Uint32Array.from(dropped[s]!),
        ...(late[s]!.length === 0 ? {} : { late: Uint32Array.from(late[s]!) }),
      },
    ]),
  );
}

function words(a: BigUint64Array | BigInt64Array): Uint32Array {
  return new Uint32Array(a.buffer, a.byteOffset, a.length * 2);
}
