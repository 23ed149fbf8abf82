import type { ProfileSource, RowTable } from "@cinderblock/block";
import { I64Column, PairTable } from "@cinderblock/columnar";
import type { Label } from "@cinderblock/model";
import { uuidText } from "./points.ts";
import { visitBatches, type Segment } from "./segments.ts";

/** Kind of exemplar: a whole profile, or the sum of one span in a profile. */
export type ExemplarKind = "profile" | "span";

/** A profile, or one span of it, as an example of a sum that includes it. */
export interface Exemplar {
  timeMs: number;
  id: string;
  /** 16 hex characters; "" for a whole profile */
  span: string;
  /** 32 hex characters; for a span with a trace ID */
  trace?: string;
  value: bigint;
  labels: Label[];
}

/**
 * The larger exemplar; ties go to the older one, then by ID and span. The choice does not depend on the
 * layout of blocks.
 */
export function largerExemplar(
  a: Exemplar | null | undefined,
  b: Exemplar | null | undefined,
): Exemplar | null {
  if (!a || !b) return a ?? b ?? null;
  if (a.value !== b.value) return a.value > b.value ? a : b;
  if (a.timeMs !== b.timeMs) return a.timeMs < b.timeMs ? a : b;
  return a.id + a.span <= b.id + b.span ? a : b;
}

/** Text of a span ID from its words in a block. */
export function spanText(low: number, high: number): string {
  const b = Buffer.alloc(8);
  b.writeUInt32LE(low >>> 0, 0);
  b.writeUInt32LE(high >>> 0, 4);
  return b.toString("hex");
}

/** Trace ID of a sample; "" without one. */
function traceText(table: RowTable, row: number, sample: number): string {
  const start = table.traceStart[row]!,
    at = 4 * (start + sample - table.sampleStart[row]!);
  return start < 0 ? "" : traceIdOf(table.traces, at);
}

/** Text of a trace ID from its four words; "" without one. */
export function traceIdOf(words: Uint32Array, at: number): string {
  if ((words[at]! | words[at + 1]! | words[at + 2]! | words[at + 3]!) === 0) return "";
  const b = Buffer.alloc(16);
  for (let w = 0; w < 4; w++) b.writeUInt32LE(words[at + w]!, 4 * w);
  return b.toString("hex");
}

/** Labels that distinguish an exemplar within its series: neither the grouping labels nor internal labels. */
export function exemplarLabels(labels: readonly Label[], groupBy: readonly string[]): Label[] {
  return labels
    .filter((l) => !l.name.startsWith("__") && !groupBy.includes(l.name))
    .map((l) => ({ name: l.name, value: l.value }));
}

/** Whether a sample of a row counts, decided by its stack. */
export type SamplePredicate = (table: RowTable, row: number, sample: number) => boolean;

/**
 * Visits the sum of each span of each selected row, with the span's first sample. Skips samples without a
 * span. `ids`: load IDs of profiles and traces as well.
 */
export async function visitSpans(
  segment: Segment,
  keep: SamplePredicate | undefined,
  ids: boolean,
  visit: (
    table: RowTable,
    index: number,
    row: number,
    low: number,
    high: number,
    value: bigint,
    sample: number,
  ) => void,
): Promise<void> {
  await visitBatches(
    segment,
    ids ? ["samples", "spans", "traces", "ids"] : ["samples", "spans"],
    (table, batch) => {
      for (const { index, rows } of batch) {
        for (const row of rows) {
          const spanStart = table.spanStart[row]!,
            first = table.sampleStart[row]!,
            end = table.sampleEnd[row]!;
          if (spanStart < 0) continue;
          const known = new PairTable(16),
            sum = new I64Column(16),
            words: number[] = [];
          for (let k = first; k < end; k++) {
            const at = 2 * (spanStart + k - first),
              low = table.spans[at]!,
              high = table.spans[at + 1]!;
            if ((low | high) === 0 || (keep && !keep(table, row, k))) continue;
            let i = known.getOrSet(low, high, sum.length);
            if (i < 0) {
              i = sum.length;
              sum.push(0n);
              words.push(low, high, k);
            }
            sum.data[i]! += table.value[k]!;
          }
          for (let i = 0; i < sum.length; i++)
            visit(table, index, row, words[3 * i]!, words[3 * i + 1]!, sum.data[i]!, words[3 * i + 2]!);
        }
      }
    },
  );
}

/** A row, or a span of it, that may become an exemplar. */
interface Candidate {
  value: bigint;
  timeMs: number;
  table: RowTable;
  index: number;
  row: number;
  low: number;
  high: number;
  sample: number;
}

/** The largest offered candidate for each key. Texts and labels are built only for the final ones. */
export class LargestExemplars<K> {
  private readonly found = new Map<K, Candidate>();
  private readonly source: ProfileSource;
  private readonly groupBy: readonly string[];
  private readonly each: ExemplarKind;
  constructor(source: ProfileSource, groupBy: readonly string[], each: ExemplarKind) {
    this.source = source;
    this.groupBy = groupBy;
    this.each = each;
  }

  offer(
    key: K,
    table: RowTable,
    index: number,
    row: number,
    low: number,
    high: number,
    value: bigint,
    sample: number,
  ): void {
    const known = this.found.get(key);
    if (value <= 0n || (known && known.value > value)) return;
    const timeMs = Number(table.timeNanos[row]! / 1_000_000n),
      offered = { value, timeMs, table, index, row, low, high, sample };
    if (known && known.value === value && known.timeMs <= timeMs) {
      if (known.timeMs < timeMs) return;
      const a = this.exemplar(known);
      if (largerExemplar(a, this.exemplar(offered)) === a) return;
    }
    this.found.set(key, offered);
  }

  private exemplar(c: Candidate): Exemplar {
    const trace = this.each === "span" ? traceText(c.table, c.row, c.sample) : "";
    return {
      timeMs: c.timeMs,
      id: uuidText(c.table.id, c.row),
      span: this.each === "span" ? spanText(c.low, c.high) : "",
      ...(trace !== "" ? { trace } : {}),
      value: c.value,
      labels: exemplarLabels(this.source.series[c.index]!.labels, this.groupBy),
    };
  }

  get(key: K): Exemplar | null {
    const c = this.found.get(key);
    return c ? this.exemplar(c) : null;
  }
}
