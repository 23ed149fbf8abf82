import { type ProfileSource, type RowSource, type RowTable, selectSeries } from "@cinderblock/block";
import { CinderblockError, invalid } from "@cinderblock/errors";
import type { Exclusion } from "./duplicates.ts";
import {
  LABEL_PROFILE_TYPE,
  Matcher,
  parseProfileType,
  parseSelector,
  type PatternBudget,
  type Selector,
} from "@cinderblock/model";

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
export interface SelectedSeries {
  index: number;
  rows: Uint32Array;
}

interface Selection {
  profileTypeId: string;
  labelSelector: string;
}

/** Parsed selectors: the blocks that one request reads share the verdicts of its regular expressions. */
const parsed = new WeakMap<Selection, Selector>();

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

/** Whether a series is in the part that a request asks about: by its fingerprint, which is the same wherever it is stored. */
export function inShard(shard: SelectRequest["shard"], fingerprint: bigint): boolean {
  return shard === undefined || Number(BigInt.asUintN(64, fingerprint) % BigInt(shard.of)) === shard.index;
}

export function startNanos(ms: number): bigint {
  return BigInt(Math.trunc(ms)) * 1_000_000n;
}
/** The last nanosecond of a millisecond: a profile is in the range when its time, cut to milliseconds, is. */
export function endNanos(ms: number): bigint {
  return BigInt(Math.trunc(ms)) * 1_000_000n + 999_999n;
}

/** Series and rows of one of a source's tables that a request picks; rows in `exclude` are answered by another source. The table's keys are loaded first. */
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
  // Nothing came since: no row has to be looked at.
  const upTo = exclude && exclude.upTo < source.rowCount ? exclude.upTo : -1;
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
type SpanSet = Map<number, Set<number>>;

/** Trace ids as words as their bytes lie: first -> the other three. */
type TraceSet = Map<number, Uint32Array[]>;

/** Which samples count by the span and the trace that they were taken in; both, where both are there. */
export interface SampleFilter {
  spans: SpanSet | undefined;
  traces: TraceSet | undefined;
}

/** Undefined: all samples count. */
export function sampleFilter(spans: readonly string[], traces: readonly string[]): SampleFilter | undefined {
  return spans.length === 0 && traces.length === 0
    ? undefined
    : { spans: parseSpans(spans), traces: parseTraces(traces) };
}

export function samplePasses(f: SampleFilter, t: RowTable, row: number, sample: number): boolean {
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

/** Columns that the filter looks at. */
export function filterColumns(f: SampleFilter | undefined): ("spans" | "traces")[] {
  return [...(f?.spans ? ["spans" as const] : []), ...(f?.traces ? ["traces" as const] : [])];
}

function parseTraces(ids: readonly string[]): TraceSet | undefined {
  if (ids.length === 0) return undefined;
  const out: TraceSet = new Map();
  for (const id of ids) {
    if (!/^[0-9a-fA-F]{32}$/.test(id))
      throw invalid(`invalid trace id ${JSON.stringify(id)}: it has 32 hexadecimal digits`);
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
