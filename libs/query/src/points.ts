import { ByteWriter } from "@cinderblock/bytes";
import type { ProfileSource, RowTable } from "@cinderblock/block";
import { CinderblockError, type Condition, invalidError } from "@cinderblock/errors";
import { type Annotations, type Label, labelsKey } from "@cinderblock/model";
import type { SelectedSeries } from "./select.ts";

/**
 * Time (milliseconds) and value of single profiles, or of their spans, as columns. The optional columns exist
 * if the query asked for them.
 */
export interface Points {
  timeMs: Float64Array;
  value: Float64Array;
  /** label sets; `of` is the index of each point's label set */
  series?: Label[][];
  of?: Uint32Array;
  /** lists of annotations; `noteOf` is the index of each point's list */
  notes?: Annotations[];
  noteOf?: Uint32Array;
  /** profile IDs, 16 bytes per point */
  id?: Uint8Array;
  /** span IDs, two 32-bit words per point */
  span?: Uint32Array;
  /** trace IDs, four 32-bit words per point */
  trace?: Uint32Array;
}

/** Maximum profiles of one answer: each takes 16 bytes between components. */
const MAX_POINTS = 2_000_000;

/** Checks the number of single profiles in an answer. @throws `limit` */
export function checkProfileCount(n: number): void {
  if (n > MAX_POINTS)
    throw new CinderblockError(
      "limit",
      `the selection has ${n} or more profiles; the limit for single profiles is ${MAX_POINTS}: choose a shorter time range or a narrower selector`,
      { detail: { condition: "too-many-profiles" satisfies Condition, limit: MAX_POINTS } },
    );
}

/** Time and total of each selected row, without series and IDs. */
export function pointsOf(table: RowTable, selected: readonly SelectedSeries[]): Points {
  let n = 0;
  for (const { rows } of selected) n += rows.length;
  checkProfileCount(n);
  const out = { timeMs: new Float64Array(n), value: new Float64Array(n) };
  let at = 0;
  for (const { rows } of selected) {
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!;
      out.timeMs[at] = Number(table.timeNanos[row]! / 1_000_000n);
      out.value[at++] = Number(table.totalValue[row]!);
    }
  }
  return out;
}

/** Concatenates the points of several sources. Optional columns remain if all parts have them. */
export function mergePoints(parts: readonly Points[]): Points {
  const n = parts.reduce((sum, p) => sum + p.timeMs.length, 0);
  checkProfileCount(n);
  const out: Points = { timeMs: new Float64Array(n), value: new Float64Array(n) };
  if (parts.every((p) => p.of && p.series)) {
    out.series = [];
    out.of = new Uint32Array(n);
  }
  if (parts.every((p) => p.notes && p.noteOf)) {
    out.notes = [];
    out.noteOf = new Uint32Array(n);
  }
  if (parts.every((p) => p.id)) out.id = new Uint8Array(16 * n);
  if (parts.every((p) => p.span)) out.span = new Uint32Array(2 * n);
  if (parts.every((p) => p.trace)) out.trace = new Uint32Array(4 * n);
  const known = new Map<string, number>();
  let at = 0;
  for (const p of parts) {
    out.timeMs.set(p.timeMs, at);
    out.value.set(p.value, at);
    out.id?.set(p.id!, 16 * at);
    out.span?.set(p.span!, 2 * at);
    out.trace?.set(p.trace!, 4 * at);
    if (out.of && out.series) {
      const map = p.series!.map((labels) => {
        const key = labelsKey(labels),
          i = known.get(key) ?? out.series!.push(labels) - 1;
        known.set(key, i);
        return i;
      });
      for (let i = 0; i < p.of!.length; i++) out.of[at + i] = map[p.of![i]!]!;
    }
    if (out.noteOf && out.notes) {
      const first = out.notes.length;
      for (const list of p.notes!) out.notes.push(list);
      for (let i = 0; i < p.noteOf!.length; i++) out.noteOf[at + i] = first + p.noteOf![i]!;
    }
    at += p.timeMs.length;
  }
  return out;
}

/**
 * Lower bound of a heatmap's row: row r counts integer values in (bound(r), bound(r + 1)]. The product rounds
 * for large values, so the last bound is the maximum itself.
 */
function bound(row: number, rows: number, maxValue: number): number {
  return row === rows ? maxValue : Math.floor((row * maxValue) / rows);
}

/**
 * Encodes cinderblock.explore.v1.HeatmapResponse: counts of profiles by time and value, `counts[column * rows
 * + row]`.
 */
export function encodeHeatmap(
  p: Points,
  startMs: number,
  endMs: number,
  columns: number,
  rows: number,
): Uint8Array {
  let maxValue = 0,
    total = 0;
  for (let i = 0; i < p.value.length; i++) {
    const v = p.value[i]!;
    if (v > maxValue) maxValue = v;
    total += v;
  }
  const bounds = Float64Array.from({ length: rows + 1 }, (_, r) => bound(r, rows, maxValue));
  const counts = new Uint32Array(columns * rows),
    width = (endMs - startMs + 1) / columns;
  for (let i = 0; i < p.value.length; i++) {
    const v = p.value[i]!,
      column = Math.min(columns - 1, Math.max(0, Math.floor((p.timeMs[i]! - startMs) / width)));
    let row = maxValue > 0 ? Math.min(rows - 1, Math.floor((v / maxValue) * rows)) : 0;
    while (row > 0 && v <= bounds[row]!) row--;
    while (row < rows - 1 && v > bounds[row + 1]!) row++;
    counts[column * rows + row]!++;
  }
  const out = new ByteWriter(1 << 12),
    packed = new ByteWriter(1 << 12);
  const put = (field: number, v: number): void => {
    if (v !== 0) {
      out.u8(field * 8);
      out.uvarint(v);
    }
  };
  put(1, columns);
  put(2, rows);
  for (const c of counts) packed.uvarint(c);
  out.u8(26);
  out.uvarint(packed.length);
  out.bytes(packed.finish());
  put(4, maxValue);
  put(5, p.value.length);
  put(6, total);
  return out.transferBytes();
}

/** One profile of a series. */
export interface SingleProfile {
  id: string;
  timeMs: number;
  value: number;
  labels: string[];
}
/** The largest profiles, and the number of all matching ones. */
export interface ProfileList {
  profiles: SingleProfile[];
  count: number;
  total: number;
}

/**
 * Orders profiles by descending value, then by age (older first), then by ID: the same order in every source.
 */
function compare(a: SingleProfile, b: SingleProfile): number {
  return b.value - a.value || a.timeMs - b.timeMs || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

/**
 * The largest profiles with a value in (min, max]. `max` 0 means no upper bound; `min` 0 includes the value
 * 0.
 */
export function largestProfiles(
  source: ProfileSource,
  table: RowTable,
  selected: readonly SelectedSeries[],
  min: number,
  max: number,
  limit: number,
): ProfileList {
  let found: (SingleProfile & { index: number })[] = [],
    count = 0,
    total = 0,
    floor = -Infinity;
  // Create no object for a profile below the smallest of the `limit` largest so far.
  const trim = (): void => {
    found.sort(compare);
    found = found.slice(0, limit);
    if (found.length === limit) floor = found.at(-1)!.value;
  };
  for (const { index, rows } of selected) {
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!,
        value = Number(table.totalValue[row]!);
      if ((value <= min && !(min === 0 && value === 0)) || (max > 0 && value > max)) continue;
      count++;
      total += value;
      if (value < floor) continue;
      found.push({
        id: uuidText(table.id, row),
        timeMs: Number(table.timeNanos[row]! / 1_000_000n),
        value,
        labels: [],
        index,
      });
      if (found.length > 4 * limit + 1000) trim();
    }
  }
  trim();
  return {
    profiles: found.map(({ index, ...p }) => ({
      ...p,
      labels: source.series[index]!.labels.filter((l) => !l.name.startsWith("__")).map(
        (l) => `${l.name}=${l.value}`,
      ),
    })),
    count,
    total,
  };
}

/** Merges lists of the largest profiles, and keeps the `limit` largest. */
export function mergeProfileLists(parts: readonly ProfileList[], limit: number): ProfileList {
  return {
    profiles: parts
      .flatMap((p) => p.profiles)
      .sort(compare)
      .slice(0, limit),
    count: parts.reduce((n, p) => n + p.count, 0),
    total: parts.reduce((n, p) => n + p.total, 0),
  };
}

/** UUID text of a row's 16 bytes. */
export function uuidText(id: Uint8Array, row: number): string {
  const hex = Buffer.from(id.buffer, id.byteOffset + row * 16, 16).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Selected rows with one of these IDs. @throws `invalid` for an ID that is not a UUID */
export function selectByIds(
  table: RowTable,
  selected: readonly SelectedSeries[],
  ids: readonly string[],
): SelectedSeries[] {
  for (const id of ids)
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id))
      throw invalidError(`profile ID ${JSON.stringify(id)} is not a UUID`);
  const wanted = new Set(ids.map((id) => id.toLowerCase()));
  return selected
    .map((s) => ({ ...s, rows: s.rows.filter((row) => wanted.has(uuidText(table.id, row))) }))
    .filter((s) => s.rows.length > 0);
}
