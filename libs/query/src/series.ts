import { type Pace, UNPACED } from "@cinderblock/async";
import type { ProfileSource, RowTable } from "@cinderblock/block";
import { type Annotations, type Label, labelsKey, compareLabels, mergeAnnotations } from "@cinderblock/model";
import {
  type ExemplarKind,
  visitSpans,
  type Exemplar,
  type SamplePredicate,
  LargestExemplars,
  largerExemplar,
} from "./exemplars.ts";
import { visitBatches, type Segment } from "./segments.ts";
import { loadSymbols } from "./tree.ts";
import { type StackFilter, stackPredicate } from "./stack-filter.ts";

/**
 * Sums and counts of one output series by bucket; buckets ascend. Bucket k covers times after bucket k - 1 up
 * to start + k * step.
 */
export interface PartialSeries {
  labels: Label[];
  bucket: number[];
  sum: bigint[];
  count: number[];
  /** the largest profile or span of each bucket, if requested */
  exemplar?: (Exemplar | null)[];
  /** annotations of any profile in each bucket; absent without annotations */
  annotations?: (Annotations | null)[];
}

/** Time range, step and group-by labels of a time series query. */
export interface SeriesRange {
  startMs: number;
  endMs: number;
  stepMs: number;
  groupBy: string[];
}

interface Group extends PartialSeries {
  at: Map<number, number>;
}

/** Labels of a series that its sums are grouped by. */
export function groupLabels(labels: readonly Label[], groupBy: readonly string[]): Label[] {
  return groupBy
    .map((name) => labels.find((l) => l.name === name))
    .filter((l): l is Label => l !== undefined)
    .map((l) => ({ name: l.name, value: l.value }));
}

/**
 * Times of the profiles behind a range's points, both ends included. A point is the right edge of its step;
 * the first one also counts profiles exactly at its left edge.
 */
export function pointTimes(range: { startMs: number; endMs: number; stepMs: number }): {
  startMs: number;
  endMs: number;
} {
  return { startMs: Math.max(0, Math.ceil(range.startMs - range.stepMs)), endMs: range.endMs };
}

/** Bucket of a profile: the first one at or after its time; -1 after the last bucket. */
export function bucketOfTime(ms: number, range: SeriesRange): number {
  const bucket = Math.max(0, Math.ceil((ms - range.startMs) / range.stepMs));
  return bucket > Math.floor((range.endMs - range.startMs) / range.stepMs) ? -1 : bucket;
}

/** Merges the partial time series of several sources by their group labels. */
export class SeriesMerger {
  private readonly groups = new Map<string, Group>();

  private group(labels: Label[]): Group {
    const key = labelsKey(labels);
    let g = this.groups.get(key);
    if (!g) this.groups.set(key, (g = { labels, at: new Map(), bucket: [], sum: [], count: [] }));
    return g;
  }

  private point(g: Group, bucket: number, sum: bigint, count: number): void {
    const at = g.at.get(bucket);
    if (at === undefined) {
      g.at.set(bucket, g.bucket.length);
      g.bucket.push(bucket);
      g.sum.push(sum);
      g.count.push(count);
      return;
    }
    g.sum[at]! += sum;
    g.count[at]! += count;
  }

  add(p: PartialSeries): void {
    const g = this.group(p.labels);
    for (let i = 0; i < p.bucket.length; i++) {
      this.point(g, p.bucket[i]!, p.sum[i]!, p.count[i]!);
      if (p.exemplar) this.example(g, p.bucket[i]!, p.exemplar[i]!);
      const annotations = p.annotations?.[i];
      if (annotations) this.remark(g, p.bucket[i]!, annotations);
    }
  }

  private remark(g: Group, bucket: number, list: Annotations): void {
    const at = g.at.get(bucket)!,
      known = (g.annotations ??= [])[at];
    g.annotations[at] = known ? mergeAnnotations(known, list) : list;
  }

  private example(g: Group, bucket: number, e: Exemplar | null): void {
    const at = g.at.get(bucket)!;
    (g.exemplar ??= [])[at] = largerExemplar(g.exemplar[at], e);
  }

  /** Sets the exemplar of each point. */
  exemplars(of: (labels: readonly Label[], bucket: number) => Exemplar | null): void {
    for (const g of this.groups.values()) for (const b of g.bucket) this.example(g, b, of(g.labels, b));
  }

  /** Adds rows; `values` replaces the rows' totals (stack selection). */
  addRows(
    table: RowTable,
    labels: readonly Label[],
    rows: Uint32Array,
    range: SeriesRange,
    values: ((row: number) => bigint) | undefined,
  ): void {
    const g = this.group(groupLabels(labels, range.groupBy));
    const { annotation, annotations } = table,
      lists = annotations.length,
      seen = new Set<number>();
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!;
      const bucket = bucketOfTime(Number(table.timeNanos[row]! / 1_000_000n), range);
      if (bucket < 0) continue;
      this.point(g, bucket, values ? values(row) : table.totalValue[row]!, 1);
      // Most rows of a series have the same annotations as the preceding rows.
      const set = lists > 1 ? annotation[row]! : 0,
        key = bucket * lists + set;
      if (set > 0 && !seen.has(key)) {
        seen.add(key);
        this.remark(g, bucket, annotations.annotationsAt(set));
      }
    }
  }

  finish(): PartialSeries[] {
    const out: PartialSeries[] = [];
    for (const g of this.groups.values()) {
      if (g.bucket.length === 0) continue;
      const order = g.bucket.map((_, i) => i).sort((a, b) => g.bucket[a]! - g.bucket[b]!);
      const { exemplar, annotations } = g;
      out.push({
        labels: g.labels,
        bucket: order.map((i) => g.bucket[i]!),
        sum: order.map((i) => g.sum[i]!),
        count: order.map((i) => g.count[i]!),
        ...(exemplar ? { exemplar: order.map((i) => exemplar[i] ?? null) } : {}),
        ...(annotations ? { annotations: order.map((i) => annotations[i] ?? null) } : {}),
      });
    }
    return out;
  }
}

/** Predicate for the samples of a segment that a filter accepts. */
export async function samplePredicateOf(
  source: ProfileSource,
  segment: Segment,
  stacks: StackFilter,
  pace: Pace,
): Promise<SamplePredicate> {
  const symbols = new Map<number, Awaited<ReturnType<ProfileSource["symbols"]>>>();
  await loadSymbols(source, await source.load(["keys"]), segment.selected, symbols);
  const keepers = new Map<number, (stackNode: number) => boolean>();
  for (const [p, { tables, flame }] of symbols)
    keepers.set(p, await stackPredicate(tables, flame, stacks, pace));
  return (table, row, sample) => {
    const id = table.stacktraceId[sample]!;
    return id > 0 && keepers.get(table.partition[row]!)!(id);
  };
}

/** row of a segment -> sum of its samples that the filter accepts */
export async function acceptedSums(segment: Segment, keep: SamplePredicate): Promise<Map<number, bigint>> {
  const sums = new Map<number, bigint>();
  await visitBatches(segment, ["samples"], (table, batch) => {
    for (const { rows } of batch) {
      for (const row of rows) {
        let sum = 0n;
        for (let k = table.sampleStart[row]!; k < table.sampleEnd[row]!; k++)
          if (keep(table, row, k)) sum += table.value[k]!;
        sums.set(row, sum);
      }
    }
  });
  return sums;
}

/** Adds a source's rows by point and group; with `each`, also the largest profile or span of each point. */
export async function addSourceRows(
  into: SeriesMerger,
  source: ProfileSource,
  segment: Segment,
  range: SeriesRange,
  stacks: StackFilter | undefined,
  each: ExemplarKind | undefined,
  pace = UNPACED,
): Promise<void> {
  const { selected } = segment;
  const table = await source.load(each ? ["totals", "annotations", "ids"] : ["totals", "annotations"]);
  const keep = stacks && (await samplePredicateOf(source, segment, stacks, pace));
  const sums = keep && (await acceptedSums(segment, keep)),
    valueOf = sums && ((row: number): bigint => sums.get(row)!);
  // Choose exemplars within this source, then merge them with the other sources'.
  const own = each ? new SeriesMerger() : into;
  for (const x of selected) own.addRows(table, source.series[x.index]!.labels, x.rows, range, valueOf);
  if (!each) return;
  const largest = new LargestExemplars<string>(source, range.groupBy, each),
    groups = new Map(
      selected.map((x) => [x.index, labelsKey(groupLabels(source.series[x.index]!.labels, range.groupBy))]),
    );
  const offer = (
    t: RowTable,
    index: number,
    row: number,
    low: number,
    high: number,
    value: bigint,
    sample = 0,
  ): void => {
    const bucket = bucketOfTime(Number(t.timeNanos[row]! / 1_000_000n), range);
    if (bucket >= 0)
      largest.offer(`${bucket}:${groups.get(index)!}`, t, index, row, low, high, value, sample);
  };
  if (each === "span") await visitSpans(segment, keep, true, offer);
  else
    for (const { index, rows } of selected)
      for (const row of rows) offer(table, index, row, 0, 0, valueOf ? valueOf(row) : table.totalValue[row]!);
  own.exemplars((labels, bucket) => largest.get(`${bucket}:${labelsKey(labels)}`));
  for (const p of own.finish()) into.add(p);
}

interface SeriesPoint {
  timestampMs: number;
  value: number;
  exemplar?: Exemplar;
  annotations?: Annotations;
}
/** A finished time series: labels and points. */
export interface SeriesResult {
  labels: Label[];
  points: SeriesPoint[];
}

/** Final series by descending total, then by labels; `limit` keeps the largest. */
export function renderSeries(
  parts: readonly PartialSeries[],
  range: { startMs: number; stepMs: number },
  average: boolean,
  limit: number,
): SeriesResult[] {
  const out = parts.map((p) => {
    let total = 0;
    const points = p.bucket.map((b, i) => {
      const value = average ? Number(p.sum[i]!) / p.count[i]! : Number(p.sum[i]!);
      total += value;
      const exemplar = p.exemplar?.[i],
        annotations = p.annotations?.[i];
      return {
        timestampMs: range.startMs + b * range.stepMs,
        value,
        ...(exemplar ? { exemplar } : {}),
        ...(annotations ? { annotations } : {}),
      };
    });
    return { labels: p.labels, points, total };
  });
  out.sort((a, b) => b.total - a.total || compareLabels(a.labels, b.labels));
  return (limit > 0 ? out.slice(0, limit) : out).map(({ labels, points }) => ({ labels, points }));
}
