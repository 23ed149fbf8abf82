import { type ByteReader, type ByteWriter, ShortRead } from "@cinderblock/bytes";
import { isUlid } from "@cinderblock/block-meta";
import type { Annotations, Labels } from "@cinderblock/model";
import { FUNCTION_WORDS, LOCATION_HEAD, MAPPING_WORDS, type SymbolPartition } from "@cinderblock/symdb";
import { isTenantId } from "@cinderblock/tenant";
import type { Head, NewRow } from "./head.ts";

/** Record types. Format: docs/formats/head-log.md */
export const RecordType = {
  head: 1,
  append: 2,
  baseline: 3,
  done: 4,
  forgotten: 5,
  checkpoint: 6,
  batchMark: 7,
  anchor: 8,
} as const;

/** How many of a partition's symbols are in the log. */
export interface LoggedSymbols {
  strings: number;
  functions: number;
  mappings: number;
  locations: number;
  stacks: number;
}

/** Counters for a partition without logged symbols. */
export function noLoggedSymbols(): LoggedSymbols {
  return { strings: 1, functions: 0, mappings: 0, locations: 0, stacks: 1 };
}

/** Appends the record that begins a head: its number, tenant, ULID and window end. */
export function encodeHeadRecord(headNo: number, head: Head, out: ByteWriter): void {
  out.u8(RecordType.head);
  out.uvarint(headNo);
  out.str(head.tenant);
  out.str(head.ulid);
  out.u64le(head.windowEnd);
}

/**
 * Appends an anchor record, on which other records of a head depend: its name, and the labels of the first
 * `seriesCount` series.
 */
export function encodeAnchorRecord(headNo: number, head: Head, seriesCount: number, out: ByteWriter): void {
  out.u8(RecordType.anchor);
  out.uvarint(headNo);
  out.str(head.tenant);
  out.str(head.ulid);
  out.u64le(head.windowEnd);
  out.uvarint(seriesCount);
  for (let i = 0; i < seriesCount; i++) writeLabels(out, head.series[i]!.labels);
}

/** Identity of a head in the log. */
export interface HeadName {
  tenant: string;
  ulid: string;
  windowEnd: bigint;
}

/** Reads a head's name after its number in a head or anchor record. @throws `ShortRead` for a damaged name */
export function readHeadName(r: ByteReader): HeadName {
  const tenant = r.str(),
    ulid = r.str(),
    windowEnd = r.u64le();
  // Both become folder names: a record with any other name is damaged, including its content.
  if (!isTenantId(tenant) || !isUlid(ulid)) throw new ShortRead(r.pos, "expected a tenant ID and a ULID");
  return { tenant, ulid, windowEnd };
}

/** Reads the series of an anchor, after the head's name. */
export function readAnchoredSeries(r: ByteReader): Labels[] {
  const out: Labels[] = [];
  for (let n = r.uvarint(); n > 0; n--) out.push(readLabels(r));
  return out;
}

/** Appends the record that marks a head as finished: its block exists. */
export function encodeDoneRecord(ulid: string, out: ByteWriter): void {
  out.u8(RecordType.done);
  out.str(ulid);
}

/**
 * Appends a checkpoint record: baselines of series without a baseline record in segment `from` or later are
 * void.
 */
export function encodeCheckpointRecord(from: number, out: ByteWriter): void {
  out.u8(RecordType.checkpoint);
  out.uvarint(from);
}

/**
 * Appends the partition's new symbols since `logged`, the new series since `loggedSeries`, and the rows.
 * Advances `logged`.
 */
export function encodeAppendRecord(
  headNo: number,
  head: Head,
  partition: number,
  logged: LoggedSymbols,
  loggedSeries: number,
  rows: readonly NewRow[],
  out: ByteWriter,
): void {
  const { id, symbols: s } = head.partitions[partition]!;
  out.u8(RecordType.append);
  out.uvarint(headNo);
  out.uvarint(partition);
  out.u64le(id);
  const offset = s.strings.offset.data;
  range(out, logged.strings, s.strings.length);
  for (let i = logged.strings; i < s.strings.length; i++) {
    out.uvarint(offset[i + 1]! - offset[i]!);
    out.bytes(s.strings.bytes.data.subarray(offset[i]!, offset[i + 1]!));
  }
  range(out, logged.functions, s.functions.length);
  words(out, s.functions.words.data, logged.functions * FUNCTION_WORDS, s.functions.length * FUNCTION_WORDS);
  range(out, logged.mappings, s.mappings.length);
  words(out, s.mappings.words.data, logged.mappings * MAPPING_WORDS, s.mappings.length * MAPPING_WORDS);
  range(out, logged.locations, s.locations.length);
  const locationOffset = s.locations.offset.data;
  for (let i = logged.locations; i < s.locations.length; i++) {
    const from = locationOffset[i]!,
      to = locationOffset[i + 1]!;
    out.uvarint(to - from);
    words(out, s.locations.words.data, from, to);
  }
  range(out, logged.stacks, s.stackParent.length);
  out.reserve((s.stackParent.length - logged.stacks) * 10);
  for (let i = logged.stacks; i < s.stackParent.length; i++) {
    out.uvarint(i - s.stackParent.data[i]!);
    out.uvarint(s.stackLocation.data[i]!);
  }
  logged.strings = s.strings.length;
  logged.functions = s.functions.length;
  logged.mappings = s.mappings.length;
  logged.locations = s.locations.length;
  logged.stacks = s.stackParent.length;

  range(out, loggedSeries, head.series.length);
  for (let i = loggedSeries; i < head.series.length; i++) writeLabels(out, head.series[i]!.labels);

  out.uvarint(rows.length);
  for (const r of rows) {
    out.uvarint(r.series);
    out.u64le(r.timeNanos);
    out.varint64(r.durationNanos);
    out.bytes(r.id);
    const start = r.row < 0 ? 0 : head.rowSampleStart.data[r.row]!,
      end = r.row < 0 ? 0 : head.rowSampleEnd.data[r.row]!;
    const spanStart = r.row < 0 ? -1 : head.rowSpanStart.data[r.row]!,
      traceStart = r.row < 0 ? -1 : head.rowTraceStart.data[r.row]!;
    out.uvarint(end - start);
    out.u8((spanStart >= 0 ? 1 : 0) | (traceStart >= 0 ? 2 : 0) | (r.row < 0 ? 4 : 0));
    out.reserve((end - start) * 20);
    let previous = 0;
    const ids = head.stacktraceId.data,
      w = head.value.words;
    for (let i = start; i < end; i++) {
      out.uvarint(ids[i]! - previous);
      previous = ids[i]!;
    }
    for (let i = start; i < end; i++) {
      const hi = w[2 * i + 1]!;
      if (hi >= 0 && hi < 0x200000) out.uvarint(hi * 4294967296 + (w[2 * i]! >>> 0));
      else out.uvarint64(head.value.data[i]!);
    }
    if (spanStart >= 0) words(out, head.spans.data, spanStart * 2, (spanStart + end - start) * 2);
    if (traceStart >= 0) words(out, head.traces.data, traceStart * 4, (traceStart + end - start) * 4);
  }
  // All rows of a record belong to one profile. Older readers, which do not know annotations, ignore the
  // bytes after the rows.
  const stored = rows.find((r) => r.row >= 0);
  const list = stored ? head.annotations.annotationsAt(head.rowAnnotations.data[stored.row]!) : [];
  if (list.length === 0) return;
  out.uvarint(list.length);
  for (const a of list) {
    out.str(a.key);
    out.str(a.value);
  }
}

function readAnnotations(r: ByteReader): Annotations {
  const out: { key: string; value: string }[] = [];
  if (r.left > 0) for (let n = r.uvarint(); n > 0; n--) out.push({ key: r.str(), value: r.str() });
  return out;
}

function range(out: ByteWriter, from: number, to: number): void {
  out.uvarint(from);
  out.uvarint(to - from);
}

function words(out: ByteWriter, data: Uint32Array, from: number, to: number): void {
  out.reserve((to - from) * 5);
  for (let i = from; i < to; i++) out.uvarint(data[i]!);
}

/** Writes labels: their number, then name and value of each. */
export function writeLabels(out: ByteWriter, l: Labels): void {
  out.uvarint(l.length);
  for (const x of l) {
    out.str(x.name);
    out.str(x.value);
  }
}

/** Reads the labels that `writeLabels` wrote. */
export function readLabels(r: ByteReader): Labels {
  const n = r.uvarint();
  const out: { name: string; value: string }[] = [];
  for (let i = 0; i < n; i++) out.push({ name: r.str(), value: r.str() });
  return out;
}

/**
 * Applies an append record to a head. Placeholders replace symbols that were in an earlier, damaged record; a
 * record that refers to symbols or series that were never logged is damaged itself.
 * @param lostBytes bytes of the log that were damaged so far. This bounds the number of missing symbols,
 * because each took at least one byte
 * @param anchored labels of the head's series from an anchor record: rows keep a series whose first record is
 * lost
 * @returns the number of lost symbols and series, and 1 more if the partition's position differs
 */
export function applyAppendRecord(
  r: ByteReader,
  head: Head,
  lostBytes: number,
  anchored: readonly Labels[] = [],
): number {
  const partitionNo = r.uvarint();
  const id = r.u64le();
  // Positions follow the order of first appearance; after a damaged record the order may differ.
  const partition = head.partitionIndex(id);
  const s = head.partitions[partition]!.symbols;
  const fill = new Placeholders(s, r, lostBytes);
  const known = (ref: number, rows: number, what: string): void => {
    if (ref >= rows) throw new ShortRead(r.pos, `expected a ${what} below ${rows}, found ${ref}`);
  };
  let lost = partitionNo === partition ? 0 : 1;

  let from = r.uvarint(),
    n = r.uvarint();
  lost += fill.strings(from);
  for (let i = 0; i < n; i++) {
    const size = r.uvarint();
    const at = r.requireBytes(size);
    if (from + i >= s.strings.length) s.strings.intern(r.bytes, at, at + size);
  }
  const tuple = new Uint32Array(16);
  from = r.uvarint();
  n = r.uvarint();
  lost += fill.functions(from);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < FUNCTION_WORDS; k++) {
      tuple[k] = r.uvarint();
      if (k < 3) known(tuple[k]!, s.strings.length, "string");
    }
    if (from + i >= s.functions.length) s.functions.intern(tuple, FUNCTION_WORDS);
  }
  from = r.uvarint();
  n = r.uvarint();
  lost += fill.mappings(from);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < MAPPING_WORDS; k++) {
      tuple[k] = r.uvarint();
      if (k === 6 || k === 7) known(tuple[k]!, s.strings.length, "string");
    }
    if (from + i >= s.mappings.length) s.mappings.intern(tuple, MAPPING_WORDS);
  }
  from = r.uvarint();
  n = r.uvarint();
  lost += fill.locations(from);
  for (let i = 0; i < n; i++) {
    const size = r.uvarint();
    if (size > r.left) r.requireBytes(size);
    if (size < LOCATION_HEAD || (size - LOCATION_HEAD) % 2 !== 0)
      throw new ShortRead(
        r.pos,
        `expected a location of ${LOCATION_HEAD} words and pairs, found ${size} words`,
      );
    const own = size > 16 ? new Uint32Array(size) : tuple;
    for (let k = 0; k < size; k++) own[k] = r.uvarint();
    known(own[0]!, Math.max(1, s.mappings.length), "mapping");
    for (let k = LOCATION_HEAD; k < size; k += 2) known(own[k]!, s.functions.length, "function");
    if (from + i >= s.locations.length) s.locations.intern(own, size);
  }
  from = r.uvarint();
  n = r.uvarint();
  lost += fill.stacks(from);
  for (let i = 0; i < n; i++) {
    const parent = from + i - r.uvarint(),
      location = r.uvarint();
    if (parent < 0)
      throw new ShortRead(r.pos, `expected a valid parent of stack ${from + i}, found ${parent}`);
    known(parent, s.stackParent.length, "stack");
    known(location, s.locations.length, "location");
    if (from + i >= s.stackParent.length) s.stackChild(parent, location);
  }

  from = r.uvarint();
  n = r.uvarint();
  lost += fill.series(head, from, anchored);
  for (let i = 0; i < n; i++) {
    const l = readLabels(r);
    if (from + i >= head.series.length && head.seriesIndex(l) !== from + i)
      throw new ShortRead(
        r.pos,
        `expected labels of the new series ${from + i}, found labels of another series`,
      );
  }

  const firstRow = head.rowCount;
  for (let rows = r.uvarint(); rows > 0; rows--) {
    const series = r.uvarint();
    const timeNanos = r.i64le(),
      durationNanos = r.varint64(),
      rowId = r.readBytes(16).slice(),
      count = r.uvarint(),
      flags = r.u8();
    if (count > r.left) r.requireBytes(count);
    const hasSeries = series < head.series.length && !head.isLostSeries(series);
    const start = head.stacktraceId.length;
    head.stacktraceId.reserve(count);
    head.value.reserve(count);
    let previous = 0;
    for (let i = 0; i < count; i++) {
      previous += r.uvarint();
      head.stacktraceId.data[start + i] = previous < s.stackParent.length ? previous : 0;
    }
    for (let i = 0; i < count; i++) head.value.data[start + i] = r.uvarint64();
    let spanStart = -1,
      traceStart = -1;
    if (flags & 1) {
      spanStart = head.spans.length / 2;
      for (let i = 0; i < count * 2; i++) head.spans.push(r.uvarint());
    }
    if (flags & 2) {
      traceStart = head.traces.length / 4;
      for (let i = 0; i < count * 4; i++) head.traces.push(r.uvarint());
    }
    if (!hasSeries) {
      lost++;
      continue;
    }
    head.addId(series, rowId);
    if (flags & 4) continue;
    head.stacktraceId.length = head.value.length = start + count;
    head.addRow(
      series,
      partition,
      timeNanos,
      durationNanos,
      rowId,
      start,
      start + count,
      spanStart,
      traceStart,
      0,
    );
  }
  const annotations = head.annotations.intern(readAnnotations(r));
  if (annotations > 0) head.rowAnnotations.data.fill(annotations, firstRow, head.rowCount);
  return lost;
}

/** Fills positions up to a record's first position with unique placeholder symbols. */
class Placeholders {
  private readonly s: SymbolPartition;
  private readonly tuple = new Uint32Array(16);
  private readonly r: ByteReader;
  private readonly most: number;
  constructor(s: SymbolPartition, r: ByteReader, most: number) {
    this.s = s;
    this.r = r;
    this.most = most;
  }

  private fill(table: { readonly length: number }, to: number, add: (at: number) => void): number {
    const missing = to - table.length;
    if (missing > this.most)
      throw new ShortRead(this.r.pos, `expected at most ${this.most} missing symbols, found ${missing}`);
    for (let i = 0; i < missing; i++) {
      const at = table.length;
      add(at);
      if (table.length === at)
        throw new ShortRead(this.r.pos, "expected a unique placeholder name for a missing symbol");
    }
    return Math.max(0, missing);
  }

  strings(to: number): number {
    const { strings } = this.s;
    return this.fill(strings, to, (at) => {
      const b = Buffer.from(`lost symbol ${at}`);
      strings.intern(b, 0, b.length);
    });
  }
  functions(to: number): number {
    const { functions } = this.s;
    return this.fill(functions, to, (at) => {
      functions.intern(this.unique(FUNCTION_WORDS, 3, at), FUNCTION_WORDS);
    });
  }
  mappings(to: number): number {
    const { mappings } = this.s;
    return this.fill(mappings, to, (at) => {
      mappings.intern(this.unique(MAPPING_WORDS, 4, at), MAPPING_WORDS);
    });
  }
  locations(to: number): number {
    const { locations } = this.s;
    return this.fill(locations, to, (at) => {
      locations.intern(this.unique(LOCATION_HEAD, 1, at), LOCATION_HEAD);
    });
  }
  stacks(to: number): number {
    const { locations, stackParent } = this.s;
    return this.fill(stackParent, to, () => {
      const location = locations.length;
      locations.intern(this.unique(LOCATION_HEAD, 1, location), LOCATION_HEAD);
      this.s.stackChild(0, location);
    });
  }
  /**
   * Fills series positions; a position whose labels are in an anchor gets these labels and counts as no loss.
   */
  series(head: Head, to: number, anchored: readonly Labels[]): number {
    const missing = to - head.series.length;
    if (missing > this.most)
      throw new ShortRead(this.r.pos, `expected at most ${this.most} missing series, found ${missing}`);
    let lost = 0;
    for (let at = head.series.length; at < to; at = head.series.length) {
      const l = anchored[at];
      if (l && l.length > 0 && !head.hasSeries(l)) head.seriesIndex(l);
      else {
        head.addLostSeries();
        lost++;
      }
    }
    return lost;
  }
  private unique(size: number, at: number, value: number): Uint32Array {
    this.tuple.fill(0, 0, size);
    this.tuple[at] = (0x8000_0000 + value) >>> 0;
    return this.tuple;
  }
}
