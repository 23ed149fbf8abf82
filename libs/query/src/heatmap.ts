import { ByteWriter } from "@cinderblock/bytes";
import type { ProfileSource } from "@cinderblock/block";
import { I64Column, U32Column } from "@cinderblock/columnar";
import { CinderblockError, invalidError } from "@cinderblock/errors";
import { compareLabels, type Label, labelsKey } from "@cinderblock/model";
import {
  type ExemplarKind,
  visitSpans,
  type Exemplar,
  exemplarLabels,
  largerExemplar,
  spanText,
  traceIdOf,
} from "./exemplars.ts";
import { checkProfileCount, type Points, pointsOf, uuidText } from "./points.ts";
import type { Segment } from "./segments.ts";
import { bucketOfTime, groupLabels, type SeriesRange } from "./series.ts";

/** Rows of a heatmap: equal intervals from the smallest value to the largest. */
const HEATMAP_ROWS = 20;
/** Maximum cells of a heatmap: each takes about ten bytes of the answer. */
const MAX_CELLS = 1_000_000;

/**
 * One point with its series for each profile of a segment, or for each span; `ids` adds the profiles' IDs.
 */
export async function pointsWithSeries(
  source: ProfileSource,
  segment: Segment,
  each: ExemplarKind,
  ids: boolean,
): Promise<Points> {
  const { selected } = segment,
    series: Label[][] = [],
    position = new Map<number, number>();
  for (const { index } of selected)
    position.set(
      index,
      series.push(source.series[index]!.labels.map((l) => ({ name: l.name, value: l.value }))) - 1,
    );
  const of = new U32Column(256);
  if (each === "profile") {
    const table = await source.load(ids ? ["totals", "ids"] : ["totals"]),
      points = pointsOf(table, selected),
      id = new Uint8Array(ids ? 16 * points.timeMs.length : 0);
    for (const { index, rows } of selected) {
      for (const row of rows) {
        if (ids) id.set(table.id.subarray(16 * row, 16 * row + 16), 16 * of.length);
        of.push(position.get(index)!);
      }
    }
    return { ...points, series, of: of.view().slice(), ...(ids ? { id } : {}) };
  }
  const timeMs = new U32Column(256),
    value = new I64Column(256),
    span = new U32Column(512),
    trace = new U32Column(1024),
    id = new U32Column(1024);
  await visitSpans(segment, undefined, ids, (table, index, row, low, high, sum, sample) => {
    checkProfileCount(of.length + 1);
    of.push(position.get(index)!);
    const ms = Number(table.timeNanos[row]! / 1_000_000n);
    timeMs.push(ms >>> 0);
    timeMs.push(Math.floor(ms / 2 ** 32));
    value.push(sum);
    if (!ids) return;
    span.push(low);
    span.push(high);
    const from = table.traceStart[row]!,
      at = 4 * (from + sample - table.sampleStart[row]!);
    for (let w = 0; w < 4; w++) trace.push(from < 0 ? 0 : table.traces[at + w]!);
    const view = new DataView(table.id.buffer, table.id.byteOffset + 16 * row, 16);
    for (let w = 0; w < 16; w += 4) id.push(view.getUint32(w, true));
  });
  const out: Points = {
    timeMs: new Float64Array(of.length),
    value: Float64Array.from(value.data.subarray(0, value.length), Number),
    series,
    of: of.view().slice(),
  };
  for (let i = 0; i < of.length; i++) out.timeMs[i] = timeMs.data[2 * i + 1]! * 2 ** 32 + timeMs.data[2 * i]!;
  if (ids) {
    out.span = span.view().slice();
    out.trace = trace.view().slice();
    out.id = new Uint8Array(id.view().slice().buffer);
  }
  return out;
}

/** Content of a heatmap: groups of series, and columns of time whose right edges are start + k * step. */
export interface HeatmapRequest {
  range: SeriesRange;
  /** number of largest groups to keep; 0: all */
  limit: number;
  /** include the largest profile or span of each cell */
  exemplars: boolean;
}

interface Slot {
  counts: Uint32Array;
  exemplars: (Exemplar | null)[];
}
interface HeatmapGroup {
  labels: Label[];
  total: number;
  slots: Map<number, Slot>;
}

/**
 * Encodes querier.v1.SelectHeatmapResponse. For each group and each non-empty column, it has the number of
 * profiles (or spans) in each of HEATMAP_ROWS equal intervals between the smallest and the largest value. A
 * row states its lower bound.
 * @throws `limit` for too many cells
 */
export function encodeSelectHeatmap(p: Points, { range, limit, exemplars }: HeatmapRequest): Uint8Array {
  if (p.timeMs.length > 0 && (!p.of || !p.series || (exemplars && !p.id)))
    throw new CinderblockError(
      "unavailable",
      "a source of the previous release does not support heatmaps grouped by series",
    );
  let least = Infinity,
    most = -Infinity;
  for (let i = 0; i < p.value.length; i++) {
    if (bucketOfTime(p.timeMs[i]!, range) < 0) continue;
    if (p.value[i]! < least) least = p.value[i]!;
    if (p.value[i]! > most) most = p.value[i]!;
  }
  const rows = most > least ? HEATMAP_ROWS : 1,
    height = (most - least) / rows,
    bounds = Array.from({ length: rows }, (_, r) => least + r * height);
  const groups = new Map<string, HeatmapGroup>(),
    ofSeries = (p.series ?? []).map((labels) => {
      const own = groupLabels(labels, range.groupBy),
        key = labelsKey(own);
      let g = groups.get(key);
      if (!g) groups.set(key, (g = { labels: own, total: 0, slots: new Map() }));
      return g;
    });
  const idBytes = p.id ?? new Uint8Array(0);
  let slots = 0;
  for (let i = 0; i < p.value.length; i++) {
    const v = p.value[i]!,
      bucket = bucketOfTime(p.timeMs[i]!, range);
    if (bucket < 0) continue;
    const series = p.of![i]!,
      g = ofSeries[series]!;
    let slot = g.slots.get(bucket);
    if (!slot) {
      g.slots.set(bucket, (slot = { counts: new Uint32Array(rows), exemplars: [] }));
      if (++slots * rows > MAX_CELLS)
        throw invalidError(
          `the heatmap has more than ${MAX_CELLS} cells: choose a longer step, a shorter time range or fewer groups`,
        );
    }
    let row = height > 0 ? Math.min(rows - 1, Math.floor((v - least) / height)) : 0;
    while (row > 0 && v < bounds[row]!) row--;
    while (row < rows - 1 && v >= bounds[row + 1]!) row++;
    slot.counts[row]!++;
    g.total += v;
    const known = slot.exemplars[row];
    if (!exemplars || v <= 0 || (known && Number(known.value) > v)) continue;
    const trace = p.trace ? traceIdOf(p.trace, 4 * i) : "";
    slot.exemplars[row] = largerExemplar(known, {
      timeMs: p.timeMs[i]!,
      id: uuidText(idBytes, i),
      span: p.span ? spanText(p.span[2 * i]!, p.span[2 * i + 1]!) : "",
      ...(trace !== "" ? { trace } : {}),
      value: BigInt(v),
      labels: exemplarLabels(p.series![series]!, range.groupBy),
    });
  }
  const shown = [...groups.values()]
    .filter((g) => g.slots.size > 0)
    .sort((a, b) => b.total - a.total || compareLabels(a.labels, b.labels));
  return encode(limit > 0 ? shown.slice(0, limit) : shown, bounds, range);
}

function encode(groups: readonly HeatmapGroup[], bounds: readonly number[], range: SeriesRange): Uint8Array {
  const message = (to: ByteWriter, field: number, body: Uint8Array): void => {
    to.u8(field * 8 + 2);
    to.uvarint(body.length);
    to.bytes(body);
  };
  const text = (to: ByteWriter, field: number, s: string): void => {
    if (s !== "") message(to, field, Buffer.from(s));
  };
  const label = (l: Label): Uint8Array => {
    const w = new ByteWriter(64);
    text(w, 1, l.name);
    text(w, 2, l.value);
    return w.transferBytes();
  };
  const yMin = new Uint8Array(Float64Array.from(bounds).buffer);
  const out = new ByteWriter(1 << 14);
  for (const g of groups) {
    const series = new ByteWriter(1 << 12);
    for (const l of g.labels) message(series, 1, label(l));
    for (const [bucket, s] of [...g.slots].sort((a, b) => a[0] - b[0])) {
      const slot = new ByteWriter(256),
        counts = new ByteWriter(64);
      slot.u8(8);
      slot.uvarint64(BigInt(Math.round(range.startMs + bucket * range.stepMs)));
      message(slot, 2, yMin);
      for (const c of s.counts) counts.uvarint(c);
      message(slot, 3, counts.transferBytes());
      for (const e of s.exemplars) {
        if (!e) continue;
        const w = new ByteWriter(256);
        w.u8(8);
        w.uvarint64(BigInt(e.timeMs));
        text(w, 2, e.id);
        text(w, 3, e.span);
        w.u8(32);
        w.uvarint64(e.value);
        for (const l of e.labels) message(w, 5, label(l));
        text(w, 6, e.trace ?? "");
        message(slot, 4, w.transferBytes());
      }
      message(series, 2, slot.transferBytes());
    }
    message(out, 1, series.transferBytes());
  }
  return out.transferBytes();
}
