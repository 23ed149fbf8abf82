import { UNPACED } from "@cinderblock/async";
import { type ProfileSource, type SourceForm } from "@cinderblock/block";
import { PairTable } from "@cinderblock/columnar";
import { endNanos, selectorOf, selectRows, type SelectRequest, startNanos } from "./select.ts";

/**
 * Times of a source's rows, series by series: the next `count[i]` times belong to `fingerprint[i]`. Two
 * sources without a common (series, time) share no row. This check needs no row IDs, which are the largest
 * part of a row's key.
 */
export interface RowTimes {
  ulid: string;
  form: SourceForm;
  upTo: number;
  fingerprint: BigUint64Array;
  count: Uint32Array;
  timeNanos: BigInt64Array;
}

/** Reads the times of the selected rows. A block loads only its key columns. */
export async function rowTimes(
  source: ProfileSource,
  select: SelectRequest,
  pace = UNPACED,
): Promise<RowTimes> {
  await source.labelIndex.prepare(selectorOf(select), pace);
  const table = await source.load(["keys"]);
  const upTo = source.rowCount;
  const selected = selectRows(
    source,
    selectorOf(select),
    startNanos(select.startMs),
    endNanos(select.endMs),
    undefined,
    source,
    select.shard,
  );
  const times = new BigInt64Array(selected.reduce((n, s) => n + s.rows.length, 0));
  let at = 0;
  for (const { rows } of selected)
    for (let i = 0; i < rows.length; i++) times[at++] = table.timeNanos[rows[i]!]!;
  return {
    ulid: source.ulid,
    form: source.form,
    upTo,
    fingerprint: BigUint64Array.from(selected, (s) => source.series[s.index]!.fingerprint),
    count: Uint32Array.from(selected, (s) => s.rows.length),
    timeNanos: times,
  };
}

/** Sources that may share rows, with their first and last shared time. */
export interface SharedTimes {
  ulids: Set<string>;
  minNanos: bigint;
  maxNanos: bigint;
}

/**
 * Finds sources that share a (series, time) with another source; undefined if no source does. A hash
 * collision only costs a comparison of row keys.
 */
export function sharedTimes(all: readonly RowTimes[]): SharedTimes | undefined {
  const rows = all.reduce((n, t) => n + t.timeNanos.length, 0);
  const first = new PairTable(rows);
  const shares = new Uint8Array(all.length);
  let min = 0n,
    max = -1n;
  all.forEach((t, source) => {
    const words = new Uint32Array(t.timeNanos.buffer, t.timeNanos.byteOffset, t.timeNanos.length * 2);
    const series = new Uint32Array(t.fingerprint.buffer, t.fingerprint.byteOffset, t.fingerprint.length * 2);
    let at = 0;
    for (let s = 0; s < t.count.length; s++) {
      const low = series[2 * s]!,
        high = series[2 * s + 1]!;
      for (const end = at + t.count[s]!; at < end; at++) {
        const known = first.getOrSet(words[2 * at]! ^ low, words[2 * at + 1]! ^ high, source);
        if (known < 0 || known === source) continue;
        shares[known] = shares[source] = 1;
        const time = t.timeNanos[at]!;
        if (max < min || time < min) min = time;
        if (max < min || time > max) max = time;
      }
    }
  });
  const ulids = new Set(all.filter((_, i) => shares[i] === 1).map((t) => t.ulid));
  return ulids.size === 0 ? undefined : { ulids, minNanos: min, maxNanos: max };
}
