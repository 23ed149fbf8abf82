import type { ProfileSource, RowTable } from "@cinderblock/block";
import { type Label, labelsKey, compareLabels } from "@cinderblock/model";
import { callSiteFilter } from "./profile.ts";
import { eachBatch, type Segment } from "./segments.ts";
import { loadSymbols } from "./tree.ts";

/** Sums and counts of one output series by bucket; buckets ascend. Bucket k ends at start + k * step and holds what came after k - 1. */
export interface PartialSeries { labels: Label[]; bucket: number[]; sum: bigint[]; count: number[] }

export interface SeriesRange { startMs: number; endMs: number; stepMs: number; groupBy: string[] }

export class SeriesMerger {
  private readonly groups = new Map<string, { labels: Label[]; at: Map<number, number>; bucket: number[]; sum: bigint[]; count: number[] }>();

  private group(labels: Label[]): { at: Map<number, number>; bucket: number[]; sum: bigint[]; count: number[] } {
    const key = labelsKey(labels);
    let g = this.groups.get(key);
    if (!g) this.groups.set(key, (g = { labels, at: new Map(), bucket: [], sum: [], count: [] }));
    return g;
  }

  private point(g: { at: Map<number, number>; bucket: number[]; sum: bigint[]; count: number[] }, bucket: number, sum: bigint, count: number): void {
    const at = g.at.get(bucket);
    if (at === undefined) { g.at.set(bucket, g.bucket.length); g.bucket.push(bucket); g.sum.push(sum); g.count.push(count); return; }
    g.sum[at]! += sum;
    g.count[at]! += count;
  }

  add(p: PartialSeries): void {
    const g = this.group(p.labels);
    for (let i = 0; i < p.bucket.length; i++) this.point(g, p.bucket[i]!, p.sum[i]!, p.count[i]!);
  }

  /** Adds rows; `values` overrides the rows' totals (stack selection). */
  addRows(table: RowTable, labels: readonly Label[], rows: Uint32Array, range: SeriesRange, values: ((row: number) => bigint) | undefined): void {
    const own = range.groupBy.map((name) => labels.find((l) => l.name === name)).filter((l): l is Label => l !== undefined).map((l) => ({ name: l.name, value: l.value }));
    const g = this.group(own);
    const last = Math.floor((range.endMs - range.startMs) / range.stepMs);
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!;
      const ms = Number(table.timeNanos[row]! / 1_000_000n);
      const bucket = Math.max(0, Math.ceil((ms - range.startMs) / range.stepMs));
      if (bucket > last) continue;
      this.point(g, bucket, values ? values(row) : table.totalValue[row]!, 1);
    }
  }

  finish(): PartialSeries[] {
    const out: PartialSeries[] = [];
    for (const g of this.groups.values()) {
      if (g.bucket.length === 0) continue;
      const order = g.bucket.map((_, i) => i).sort((a, b) => g.bucket[a]! - g.bucket[b]!);
      out.push({ labels: g.labels, bucket: order.map((i) => g.bucket[i]!), sum: order.map((i) => g.sum[i]!), count: order.map((i) => g.count[i]!) });
    }
    return out;
  }
}

/** Value of each row below a call site: row -> sum. */
export async function callSiteValues(source: ProfileSource, segment: Segment, callSite: readonly string[]): Promise<(row: number) => bigint> {
  const symbols = new Map<number, Awaited<ReturnType<ProfileSource["symbols"]>>>();
  await loadSymbols(source, await source.load(["keys"]), segment.selected, symbols);
  const filters = new Map([...symbols].map(([p, s]) => [p, callSiteFilter(s, callSite)]));
  const sums = new Map<number, bigint>();
  await eachBatch(segment, ["samples"], (table, batch) => {
    for (const { rows } of batch) {
      for (const row of rows) {
        const keep = filters.get(table.partition[row]!)!;
        let sum = 0n;
        for (let k = table.sampleStart[row]!; k < table.sampleEnd[row]!; k++) { const id = table.stacktraceId[k]!; if (id > 0 && keep(id)) sum += table.value[k]!; }
        sums.set(row, sum);
      }
    }
  });
  return (row) => sums.get(row)!;
}

export interface SeriesPoint { timestampMs: number; value: number }
export interface SeriesResult { labels: Label[]; points: SeriesPoint[] }

/** Final series: by total descending, then labels; `limit` keeps the largest. */
export function renderSeries(parts: readonly PartialSeries[], range: { startMs: number; stepMs: number }, average: boolean, limit: number): SeriesResult[] {
  const out = parts.map((p) => {
    let total = 0;
    const points = p.bucket.map((b, i) => {
      const value = average ? Number(p.sum[i]!) / p.count[i]! : Number(p.sum[i]!);
      total += value;
      return { timestampMs: range.startMs + b * range.stepMs, value };
    });
    return { labels: p.labels, points, total };
  });
  out.sort((a, b) => b.total - a.total || compareLabels(a.labels, b.labels));
  return (limit > 0 ? out.slice(0, limit) : out).map(({ labels, points }) => ({ labels, points }));
}
