import type { Pace } from "@cinderblock/async";
import { ByteWriter } from "@cinderblock/bytes";
import type { ProfileSource } from "@cinderblock/block";
import {
  coveredSpan,
  intervalOf,
  totalLength,
  spread,
  stepAt,
  timelineStep,
  unionOfSpans,
} from "@cinderblock/flame";
import { type Annotations, compareLabels, type Label, labelsKey, mergeAnnotations } from "@cinderblock/model";
import type { StackFilter } from "./stack-filter.ts";
import { pointsWithSeries } from "./heatmap.ts";
import type { Points } from "./points.ts";
import { writeVarintField } from "./put-value.ts";
import type { Segment } from "./segments.ts";
import { groupLabels, samplePredicateOf, acceptedSums } from "./series.ts";

/** Points of a segment's profiles with series and annotations; with `stacks`, values of accepted samples. */
export async function profilePoints(
  source: ProfileSource,
  segment: Segment,
  stacks: StackFilter | undefined,
  pace: Pace,
): Promise<Points> {
  const { annotation, annotations } = await source.load(["annotations"]);
  const points = await pointsWithSeries(source, segment, "profile", false),
    sums = stacks && (await acceptedSums(segment, await samplePredicateOf(source, segment, stacks, pace))),
    noteOf = new Uint32Array(points.timeMs.length),
    known = new Map<number, number>(),
    notes: Annotations[] = [];
  let at = 0;
  for (const { rows } of segment.selected) {
    for (let i = 0; i < rows.length; i++, at++) {
      const row = rows[i]!,
        set = annotation[row]!;
      let note = known.get(set);
      if (note === undefined) known.set(set, (note = notes.push(annotations.annotationsAt(set)) - 1));
      noteOf[at] = note;
      if (sums) points.value[at] = Number(sums.get(row)!);
    }
  }
  return { ...points, notes, noteOf };
}

/** Range, minimum step, groups and number of series of a time line. A step of 0 is the whole range. */
export interface TimelineRequest {
  startMs: number;
  endMs: number;
  stepMs: number;
  groupBy: string[];
  limit: number;
}

/** Maximum number of points of a series: a shorter step is raised. */
const MAX_STEPS = 10_000;

/** A series of a time line, in columns: a point per step with covered time. */
interface TimelineSeries {
  labels: Label[];
  total: number;
  coveredMs: number;
  intervalMs: number;
  ms: number[];
  value: number[];
  pointCoveredMs: number[];
  notes: (Annotations | undefined)[];
}

/** Values and covered time of a selection over time. */
export interface Timeline {
  stepMs: number;
  intervalMs: number;
  coveredMs: number;
  profiles: number;
  total: number;
  series: TimelineSeries[];
}

/** Indices of points by series, then by time; and the distance of each to the previous one of its series. */
function bySeries(p: Points): { order: Uint32Array; distance: Float64Array } {
  const n = p.timeMs.length,
    start = new Uint32Array((p.series?.length ?? 0) + 1),
    order = new Uint32Array(n);
  for (let i = 0; i < n; i++) start[p.of![i]! + 1]!++;
  for (let s = 1; s < start.length; s++) start[s]! += start[s - 1]!;
  const next = start.slice();
  for (let i = 0; i < n; i++) order[next[p.of![i]!]!++] = i;
  const distance = new Float64Array(n).fill(NaN);
  for (let s = 0; s + 1 < start.length; s++) {
    const own = order.subarray(start[s]!, start[s + 1]!);
    let ascending = true;
    for (let i = 1; i < own.length; i++) ascending &&= p.timeMs[own[i - 1]!]! <= p.timeMs[own[i]!]!;
    if (!ascending) own.sort((a, b) => p.timeMs[a]! - p.timeMs[b]!);
    for (let i = 1; i < own.length; i++)
      distance[start[s]! + i] = p.timeMs[own[i]!]! - p.timeMs[own[i - 1]!]!;
  }
  return { order, distance };
}

/** The time line of profiles. Their points need series. */
export function timelineOf(p: Points, r: TimelineRequest): Timeline {
  const { order, distance } = bySeries(p),
    n = order.length,
    intervalMs = intervalOf(distance),
    length = Math.max(1, r.endMs - r.startMs),
    stepMs =
      r.stepMs <= 0 || r.stepMs >= length
        ? length
        : Math.max(r.stepMs, timelineStep(0, intervalMs) * 1000, Math.ceil(length / MAX_STEPS)),
    steps = Math.max(1, Math.ceil(length / stepMs));
  const from = new Float64Array(n),
    to = new Float64Array(n),
    groups = new Map<string, { labels: Label[]; points: number[] }>();
  const groupOf = (p.series ?? []).map((labels) => {
    const own = groupLabels(labels, r.groupBy),
      key = labelsKey(own);
    let g = groups.get(key);
    if (!g) groups.set(key, (g = { labels: own, points: [] }));
    return g;
  });
  for (let k = 0; k < n; k++) {
    const i = order[k]!;
    to[k] = p.timeMs[i]!;
    from[k] = to[k]! - coverAt(distance[k]!, intervalMs);
    groupOf[p.of![i]!]!.points.push(k);
  }
  const series = [...groups.values()]
    .filter((g) => g.points.length > 0)
    .map((g) => seriesOf(g.labels, Uint32Array.from(g.points), { p, order, distance }, r, stepMs, steps))
    .sort((a, b) => b.total - a.total || compareLabels(a.labels, b.labels));
  return {
    stepMs,
    intervalMs,
    coveredMs: totalLength(unionOfSpans(from, to)),
    profiles: n,
    total: series.reduce((sum, s) => sum + s.total, 0),
    series: r.limit > 0 ? series.slice(0, r.limit) : series,
  };
}

const coverAt = (distance: number, intervalMs: number): number =>
  coveredSpan(Number.isNaN(distance) ? undefined : distance, intervalMs);

/** Time line of one group of series. Its interval and covered spans are computed from its members alone. */
function seriesOf(
  labels: Label[],
  members: Uint32Array,
  { p, order, distance }: { p: Points; order: Uint32Array; distance: Float64Array },
  r: TimelineRequest,
  stepMs: number,
  steps: number,
): TimelineSeries {
  const range = { startMs: r.startMs, stepMs, steps },
    notes = new Map<number, Annotations>(),
    from = new Float64Array(members.length),
    to = new Float64Array(members.length),
    values = new Float64Array(members.length),
    intervalMs = intervalOf(Float64Array.from(members, (k) => distance[k]!));
  let total = 0;
  members.forEach((k, m) => {
    const i = order[k]!;
    total += values[m] = p.value[i]!;
    to[m] = p.timeMs[i]!;
    from[m] = to[m]! - coverAt(distance[k]!, intervalMs);
    const list = p.notes?.[p.noteOf![i]!];
    if (!list || list.length === 0) return;
    const step = stepAt(to[m]!, range);
    notes.set(step, mergeAnnotations(notes.get(step) ?? [], list));
  });
  const { sums, covered, coveredMs } = spread(from, to, values, range),
    out: TimelineSeries = {
      labels,
      total,
      coveredMs,
      intervalMs,
      ms: [],
      value: [],
      pointCoveredMs: [],
      notes: [],
    };
  for (let b = 0; b < steps; b++) {
    if (covered[b] === 0 && sums[b] === 0 && !notes.has(b)) continue;
    out.ms.push(Math.min(r.endMs, r.startMs + (b + 1) * stepMs));
    out.value.push(sums[b]!);
    out.pointCoveredMs.push(covered[b]!);
    out.notes.push(notes.get(b));
  }
  return out;
}

/** Encodes cinderblock.explore.v1.SeriesResponse. */
export function encodeTimeline(t: Timeline): Uint8Array {
  const out = new ByteWriter(1 << 14);
  const text = (w: ByteWriter, field: number, s: string): void => {
    const b = Buffer.from(s);
    w.u8(field * 8 + 2);
    w.uvarint(b.length);
    w.bytes(b);
  };
  const whole = (w: ByteWriter, field: number, v: number): void =>
    writeVarintField(w, field, BigInt.asUintN(64, BigInt(Math.round(v))));
  const real = (w: ByteWriter, field: number, v: number): void => {
    if (v === 0) return;
    w.u8(field * 8 + 1);
    w.f64le(v);
  };
  const message = (w: ByteWriter, field: number, fill: (w: ByteWriter) => void): void => {
    const own = new ByteWriter(64);
    fill(own);
    w.u8(field * 8 + 2);
    w.uvarint(own.length);
    w.bytes(own.finish());
  };
  for (const s of t.series) {
    message(out, 1, (w) => {
      for (const l of s.labels)
        message(w, 1, (x) => {
          text(x, 1, l.name);
          text(x, 2, l.value);
        });
      s.ms.forEach((ms, i) =>
        message(w, 2, (x) => {
          real(x, 1, s.value[i]!);
          whole(x, 2, ms);
          for (const a of s.notes[i] ?? [])
            message(x, 3, (y) => {
              text(y, 1, a.key);
              text(y, 2, a.value);
            });
        }),
      );
    });
  }
  for (const s of t.series) {
    message(out, 2, (w) => {
      whole(w, 1, s.coveredMs);
      whole(w, 2, s.total);
      if (s.pointCoveredMs.length > 0)
        message(w, 3, (x) => {
          for (const ms of s.pointCoveredMs) x.uvarint(Math.round(ms));
        });
      whole(w, 4, s.intervalMs);
    });
  }
  real(out, 3, t.stepMs / 1000);
  whole(out, 4, t.intervalMs);
  whole(out, 5, t.coveredMs);
  whole(out, 6, t.profiles);
  whole(out, 7, t.total);
  return out.transferBytes();
}
