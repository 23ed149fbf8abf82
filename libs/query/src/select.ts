import { type ProfileSource, type RowSource, type RowTable } from "@cinderblock/block";
import { CinderblockError, invalidError } from "@cinderblock/errors";
import type { Exclusion } from "./duplicates.ts";
import {
  LABEL_PROFILE_TYPE,
  Matcher,
  parseProfileType,
  parseSelector,
  type PatternBudget,
  type Selector,
} from "@cinderblock/model";

/** Common fields of all select calls; times are milliseconds, both ends inclusive. */
export interface SelectRequest {
  profileTypeId: string;
  labelSelector: string;
  startMs: number;
  endMs: number;
  /** only profiles with these IDs, for call trees */
  profileIds?: string[];
  /** only series of this shard out of `of` */
  shard?: { index: number; of: number };
}

/** Rows of one series that a request selects. */
export interface SelectedSeries {
  index: number;
  rows: Uint32Array;
}

interface Selection {
  profileTypeId: string;
  labelSelector: string;
}

/**
 * Parsed selectors by request: all blocks of a request share the cached results of its regular expressions.
 */
const parsed = new WeakMap<Selection, Selector>();

/** Parsed selector of a request, including its profile type. @throws `invalid` */
export function selectorOf(request: Selection, budget?: PatternBudget): Selector {
  let selector = parsed.get(request);
  if (!selector) {
    const type = parseProfileType(request.profileTypeId);
    selector = [
      new Matcher(LABEL_PROFILE_TYPE, "=", type.storedId),
      ...parseSelector(request.labelSelector, budget),
    ];
    parsed.set(request, selector);
  }
  return selector;
}

/** Whether a series is in the requested shard. The fingerprint decides, which is the same in every source. */
export function isInShard(shard: SelectRequest["shard"], fingerprint: bigint): boolean {
  return shard === undefined || Number(BigInt.asUintN(64, fingerprint) % BigInt(shard.of)) === shard.index;
}

/** First nanosecond of a millisecond. */
export function startNanos(ms: number): bigint {
  return BigInt(Math.trunc(ms)) * 1_000_000n;
}
/**
 * Last nanosecond of a millisecond: a profile is in the range when its time, truncated to milliseconds, is.
 */
export function endNanos(ms: number): bigint {
  return BigInt(Math.trunc(ms)) * 1_000_000n + 999_999n;
}

/**
 * Series and rows that a request selects in one table of a source; skips rows in `exclude`, which another
 * source answers. Load the table's keys first.
 */
export function selectRows(
  source: ProfileSource,
  selector: Selector,
  from: bigint,
  to: bigint,
  exclude?: Exclusion,
  table: RowSource = source,
  shard?: SelectRequest["shard"],
): SelectedSeries[] {
  const out: SelectedSeries[] = [];
  const skip = exclude && exclude.rows.length > 0 ? new Set(exclude.rows) : undefined;
  const late = new Set(exclude?.late);
  // No rows were added since the comparison: skip the check of each row.
  const upTo = exclude && exclude.upTo < source.rowCount ? exclude.upTo : -1;
  for (const index of source.labelIndex.select(selector)) {
    const s = source.series[index]!;
    if (s.minTimeNanos > to || s.maxTimeNanos < from || !isInShard(shard, s.fingerprint)) continue;
    let rows = table.rowsOf(index, from, to);
    if (upTo >= 0) rows = rows.filter((r) => r < upTo || late.has(r));
    if (skip) rows = rows.filter((r) => !skip.has(r));
    if (rows.length > 0) out.push({ index, rows });
  }
  return out;
}

/**
 * Span IDs as little-endian words: low -> set of high words. v1 answers an ID of the wrong length with
 * `unknown`.
 */
type SpanSet = Map<number, Set<number>>;

/** Trace IDs as words in byte order: first word -> the other three. */
type TraceSet = Map<number, Uint32Array[]>;

/** Filter of samples by span and trace; a sample must match both if both are set. */
export interface SampleFilter {
  spans: SpanSet | undefined;
  traces: TraceSet | undefined;
}

/** Filter for spans and traces; undefined if all samples count. */
export function sampleFilter(spans: readonly string[], traces: readonly string[]): SampleFilter | undefined {
  return spans.length === 0 && traces.length === 0
    ? undefined
    : { spans: parseSpans(spans), traces: parseTraces(traces) };
}

/** Whether a filter accepts a sample. */
export function matchesSample(f: SampleFilter, t: RowTable, row: number, sample: number): boolean {
  const own = sample - t.sampleStart[row]!;
  if (f.spans) {
    const start = t.spanStart[row]!,
      at = 2 * (start + own);
    if (start < 0 || f.spans.get(t.spans[at]!)?.has(t.spans[at + 1]!) !== true) return false;
  }
  if (!f.traces) return true;
  const start = t.traceStart[row]!,
    at = 4 * (start + own);
  return (
    start >= 0 &&
    f.traces
      .get(t.traces[at]!)
      ?.some((w) => w[0] === t.traces[at + 1] && w[1] === t.traces[at + 2] && w[2] === t.traces[at + 3]) ===
      true
  );
}

/** Columns that the filter reads. */
export function filterColumns(f: SampleFilter | undefined): ("spans" | "traces")[] {
  return [...(f?.spans ? ["spans" as const] : []), ...(f?.traces ? ["traces" as const] : [])];
}

function parseTraces(ids: readonly string[]): TraceSet | undefined {
  if (ids.length === 0) return undefined;
  const out: TraceSet = new Map();
  for (const id of ids) {
    if (!/^[0-9a-fA-F]{32}$/.test(id))
      throw invalidError(`invalid trace ID ${JSON.stringify(id)}: expected 32 hexadecimal digits`);
    const words = new Uint32Array(Uint8Array.from(Buffer.from(id, "hex")).buffer),
      rest = out.get(words[0]!);
    if (rest) rest.push(words.subarray(1));
    else out.set(words[0]!, [words.subarray(1)]);
  }
  return out;
}

function parseSpans(ids: readonly string[]): SpanSet | undefined {
  if (ids.length === 0) return undefined;
  const out: SpanSet = new Map();
  for (const id of ids) {
    if (id.length !== 16)
      throw new CinderblockError("unknown", `invalid span id length: ${JSON.stringify(id)}`);
    if (!/^[0-9a-fA-F]{16}$/.test(id))
      throw new CinderblockError("unknown", `invalid span id: ${JSON.stringify(id)}`);
    const b = Buffer.from(id, "hex");
    const lo = b.readUInt32LE(0);
    const highs = out.get(lo);
    if (highs) highs.add(b.readUInt32LE(4));
    else out.set(lo, new Set([b.readUInt32LE(4)]));
  }
  return out;
}
