import { type ProfileSource, type RowSource, selectSeries } from "@cinderblock/block";
import { CinderblockError } from "@cinderblock/errors";
import type { Exclusion } from "./duplicates.ts";
import { LABEL_PROFILE_TYPE, Matcher, parseProfileType, parseSelector, type Selector } from "@cinderblock/model";

/** What every select call shares; times are milliseconds, both ends inclusive. */
export interface SelectRequest {
  profileTypeId: string;
  labelSelector: string;
  startMs: number;
  endMs: number;
  /** only these profiles, for call trees */
  profileIds?: string[];
  /** only this part of the series, of so many */
  shard?: { index: number; of: number };
}

/** Rows of one series that a request picks. */
export interface SelectedSeries { index: number; rows: Uint32Array }

export function selectorOf(request: { profileTypeId: string; labelSelector: string }): Selector {
  const type = parseProfileType(request.profileTypeId);
  return [new Matcher(LABEL_PROFILE_TYPE, "=", type.storedId), ...parseSelector(request.labelSelector)];
}

/** Whether a series is in the part that a request asks about: by its fingerprint, which is the same wherever it is stored. */
export function inShard(shard: SelectRequest["shard"], fingerprint: bigint): boolean { return shard === undefined || Number(BigInt.asUintN(64, fingerprint) % BigInt(shard.of)) === shard.index; }

export function startNanos(ms: number): bigint { return BigInt(Math.trunc(ms)) * 1_000_000n; }
/** The last nanosecond of a millisecond: a profile is in the range when its time, cut to milliseconds, is. */
export function endNanos(ms: number): bigint { return BigInt(Math.trunc(ms)) * 1_000_000n + 999_999n; }

/** Series and rows of one of a source's tables that a request picks; rows in `exclude` are answered by another source. The table's keys are loaded first. */
export function selectRows(source: ProfileSource, selector: Selector, from: bigint, to: bigint, exclude?: Exclusion, table: RowSource = source, shard?: SelectRequest["shard"]): SelectedSeries[] {
  const out: SelectedSeries[] = [];
  const skip = exclude && exclude.rows.length > 0 ? new Set(exclude.rows) : undefined;
  const upTo = exclude?.upTo ?? -1;
  for (const index of selectSeries(source.series, selector)) {
    const s = source.series[index]!;
    if (s.minTimeNanos > to || s.maxTimeNanos < from || !inShard(shard, s.fingerprint)) continue;
    let rows = table.rowsOf(index, from, to);
    if (upTo >= 0) rows = rows.filter((r) => r < upTo);
    if (skip) rows = rows.filter((r) => !skip.has(r));
    if (rows.length > 0) out.push({ index, rows });
  }
  return out;
}

/** Span ids as little-endian words: low -> set of high. v1 answers a wrong length with `unknown`. */
export type SpanSet = Map<number, Set<number>>;

export function parseSpans(ids: readonly string[]): SpanSet | undefined {
  if (ids.length === 0) return undefined;
  const out: SpanSet = new Map();
  for (const id of ids) {
    if (id.length !== 16) throw new CinderblockError("unknown", `invalid span id length: ${JSON.stringify(id)}`);
    if (!/^[0-9a-fA-F]{16}$/.test(id)) throw new CinderblockError("unknown", `invalid span id: ${JSON.stringify(id)}`);
    const b = Buffer.from(id, "hex");
    const lo = b.readUInt32LE(0);
    const highs = out.get(lo);
    if (highs) highs.add(b.readUInt32LE(4)); else out.set(lo, new Set([b.readUInt32LE(4)]));
  }
  return out;
}
