import type { ProfileSource, RowTable } from "@cinderblock/block";
import { I64Column, PairTable } from "@cinderblock/columnar";
import type { Label } from "@cinderblock/model";
import { uuidText } from "./points.ts";
import { eachBatch, type Segment } from "./segments.ts";

/** What is looked at one by one: whole profiles, or what each span of them was seen with. */
export type Each = "profile" | "span";

/** One profile, or one span of it, as an example of a sum that it is a part of. */
export interface Exemplar {
  timeMs: number;
  id: string;
  /** 16 hex characters; "" for a whole profile */
  span: string;
  /** 32 hex characters; of a span that was seen in a trace */
  trace?: string;
  value: bigint;
  labels: Label[];
}

/** The larger one; of equal ones the older, then by id and span: a choice that does not depend on how data lies in blocks. */
export function largerExemplar(
  a: Exemplar | null | undefined,
  b: Exemplar | null | undefined,
): Exemplar | null {
  if (!a || !b) return a ?? b ?? null;
  if (a.value !== b.value) return a.value > b.value ? a : b;
  if (a.timeMs !== b.timeMs) return a.timeMs < b.timeMs ? a : b;
  return a.id + a.span <= b.id + b.span ? a : b;
}

/** A span id's words, as blocks hold them, as its text. */
export function spanText(low: number, high: number): string {
  const b = Buffer.alloc(8);
  b.writeUInt32LE(low >>> 0, 0);
  b.writeUInt32LE(high >>> 0, 4);
  return b.toString("hex");
}

/** The trace id of a sample, "" where it has none. */
function traceText(table: RowTable, row: number, sample: number): string {
  const start = table.traceStart[row]!,
    at = 4 * (start + sample - table.sampleStart[row]!);
  return start < 0 ? "" : traceOf(table.traces, at);
}

/** Four words of a trace id as its text, "" for none. */
export function traceOf(words: Uint32Array, at: number): string {
  if ((words[at]! | words[at + 1]! | words[at + 2]! | words[at + 3]!) === 0) return "";
  const b = Buffer.alloc(16);
  for (let w = 0; w < 4; w++) b.writeUInt32LE(words[at + w]!, 4 * w);
  return b.toString("hex");
}

/** Labels that tell an exemplar from the others of its series: not those that the series is grouped by, none that are internal. */
export function exemplarLabels(labels: readonly Label[], groupBy: readonly string[]): Label[] {
  return labels
    .filter((l) => !l.name.startsWith("__") && !groupBy.includes(l.name))
    .map((l) => ({ name: l.name, value: l.value }));
}

/** Which samples of a row count: by their stacks. */
export type KeepSample = (table: RowTable, row: number, sample: number) => boolean;

/** Visits what each span of each selected row was seen with, and the first sample of it; samples without a span are of none. `ids`: those of profiles and traces are there. */
export async function eachSpan(
  segment: Segment,
  keep: KeepSample | undefined,
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
  await eachBatch(
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

/** The largest of what is offered for each key. Texts and labels are made for the last one alone. */
export class Largest<K> {
  private readonly found = new Map<K, Candidate>();
  private readonly source: ProfileSource;
  private readonly groupBy: readonly string[];
  private readonly each: Each;
  constructor(source: ProfileSource, groupBy: readonly string[], each: Each) {
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

  of(key: K): Exemplar | null {
    const c = this.found.get(key);
    return c ? this.exemplar(c) : null;
  }
}
