import { CorruptError } from "@cinderblock/errors";
import {
  type ColumnChunk,
  decodeOffsetIndex,
  type ParquetFooter,
  type PageLocation,
  PhysicalType,
} from "./metadata.ts";
import type { BinaryValues, Values } from "./decode-values.ts";
import { type ColumnData, decodeChunk, decodeDictionary, rowOffsets } from "./read.ts";

/**
 * Values of a run, one slot per entry, 0 without a value; 16 bytes per entry for fixed-length columns of 16.
 * Other fixed lengths are refused.
 */
type Slots = BigInt64Array | Int32Array | Uint8Array;

/**
 * Consecutive rows of a column. A flat column has one entry per row; row i of a list owns the entries
 * [offset[i], offset[i + 1]).
 *
 *   row      0               1     2
 *   offset | 4             | 7   | 7 ...            row 1 is an empty list
 *   entry    4    5    6     7                      indices of slots and present
 *   slots  | v4 | v5 | v6  | v7
 *
 * Runs may be views of a page: they are valid and unchanged, but hold the page's memory.
 */
export interface ColumnRun {
  rows: number;
  /** lists only; offset[0] may be above 0: entries are indices of `slots` */
  offset: Uint32Array | undefined;
  slots: Slots;
  /** [entries] byte strings instead of `slots`; none is null */
  texts?: BinaryValues;
  /**
   * [entries] entry -> 1 if it has a value; absent if all have one. If no entry has a value, `slots` may be
   * empty
   */
  present: Uint8Array | undefined;
}

/**
 * Reads one column sequentially in runs of rows, for columns of any size. Holds the decoded page of the
 * current run and a window of the file. Requires an offset index; a chunk without one counts as one page.
 *
 *   file:   | page | page | page | page | page | ...
 *                  |<---- window ---->|                 one read for some pages
 *                  | page |                             decoded; readRun returns parts of it
 *
 * Calls must not overlap: the cursor has one position. The cursor holds no resources to close.
 */
export class ColumnCursor {
  private group = -1;
  private chunk: ColumnChunk | undefined;
  private pages: PageLocation[] = [];
  private page = 0;
  private dictionary: Values | undefined;
  private window: { bytes: Uint8Array; offset: number } = { bytes: new Uint8Array(0), offset: 0 };
  /** decoded rows of the current page, and how many of them `readRun` has returned */
  private run: ColumnRun | undefined;
  private taken = 0;
  private readonly file: ParquetFooter;
  private readonly path: string;
  private readonly name: string;
  private readonly windowBytes: number;
  private readonly read: (offset: number, size: number) => Promise<Uint8Array>;

  /**
   * @param name of the file, for errors
   * @param windowBytes bytes of pages to fetch at a time; a larger page is fetched alone
   * @param read returns bytes of the file; may return fewer at its end
   */
  constructor(
    file: ParquetFooter,
    path: string,
    name: string,
    windowBytes: number,
    read: (offset: number, size: number) => Promise<Uint8Array>,
  ) {
    this.windowBytes = windowBytes;
    this.file = file;
    this.path = path;
    this.name = name;
    this.read = read;
  }

  /**
   * Rows available without reading another page; for a list, with at most `maxEntries` entries, and at least
   * one row. 0 at the end of the file. Reads the next page if the current one is used up.
   * @throws CorruptError for a damaged page or a row group without the column
   */
  async available(maxRows: number, maxEntries = Infinity): Promise<number> {
    if (!this.run || this.taken === this.run.rows) {
      if (!(await this.nextPage())) return 0;
    }
    const { rows, offset } = this.run!;
    let n = Math.min(maxRows, rows - this.taken);
    if (offset) while (n > 1 && offset[this.taken + n]! - offset[this.taken]! > maxEntries) n >>>= 1;
    return n;
  }

  /**
   * The next `rows` rows; a view if one page has them all, otherwise a copy.
   * @throws CorruptError if the column has fewer rows left, or for a damaged page
   */
  async readRun(rows: number): Promise<ColumnRun> {
    const parts: ColumnRun[] = [];
    for (let left = rows; left > 0; ) {
      const n = await this.available(left);
      if (n === 0) throw new CorruptError(this.name, 0, `column ${this.path}: expected ${left} more rows`);
      parts.push(slice(this.run!, this.taken, n));
      this.taken += n;
      left -= n;
    }
    return parts.length === 1 ? parts[0]! : join(parts, rows);
  }

  /** Decodes the next page that has rows; false at the end. */
  private async nextPage(): Promise<boolean> {
    while (this.page >= this.pages.length) if (!(await this.nextGroup())) return false;
    const at = this.pages[this.page]!;
    const next = this.pages[this.page + 1];
    const groupRows = this.file.rowGroups[this.group]!.numRows;
    const rows = (next ? next.firstRow : groupRows) - at.firstRow;
    const chunk = this.chunk!;
    const data = decodeChunk(await this.bytes(at.offset, at.sizeBytes), chunk, this.name, this.dictionary);
    this.run = toRun(data, rows);
    this.taken = 0;
    this.page++;
    return rows > 0 || this.nextPage();
  }

  /** Moves to the next row group: reads its offset index and its dictionary page. False at the end. */
  private async nextGroup(): Promise<boolean> {
    const group = this.file.rowGroups[++this.group];
    if (!group) return false;
    const chunk = group.columns.get(this.path);
    if (!chunk) throw new CorruptError(this.name, 0, `expected column ${this.path} in every row group`);
    this.chunk = chunk;
    this.page = 0;
    this.dictionary = undefined;
    this.pages = chunk.offsetIndex
      ? decodeOffsetIndex(await this.read(chunk.offsetIndex.offset, chunk.offsetIndex.length))
      : [{ offset: chunk.start, sizeBytes: chunk.sizeBytes, firstRow: 0 }];
    const first = this.pages[0];
    if (first && first.offset > chunk.start)
      this.dictionary = decodeDictionary(
        await this.read(chunk.start, first.offset - chunk.start),
        chunk,
        this.name,
      );
    return true;
  }

  /** A page's bytes, from a window that also holds the following pages. */
  private async bytes(offset: number, size: number): Promise<Uint8Array> {
    const w = this.window;
    if (offset < w.offset || offset + size > w.offset + w.bytes.length) {
      let end = offset + size;
      for (let i = this.page + 1; i < this.pages.length; i++) {
        const next = this.pages[i]!.offset + this.pages[i]!.sizeBytes;
        if (next - offset > this.windowBytes) break;
        end = next;
      }
      const bytes = await this.read(offset, end - offset);
      if (bytes.length < size)
        throw new CorruptError(
          this.name,
          offset,
          `column ${this.path}: expected ${size} bytes, found ${bytes.length}`,
        );
      this.window = { bytes, offset };
    }
    return this.window.bytes.subarray(offset - this.window.offset, offset - this.window.offset + size);
  }
}

function width(slots: Slots, leafType: number): number {
  return leafType === PhysicalType.FIXED_LEN_BYTE_ARRAY && slots instanceof Uint8Array ? 16 : 1;
}

const NO_SLOTS = new Uint8Array(0);

// Turns levels and dense values into one slot per entry.
function toRun(data: ColumnData, rows: number): ColumnRun {
  const { leaf, def } = data;
  const values = data.values as Slots;
  if (leaf.type === PhysicalType.FIXED_LEN_BYTE_ARRAY && leaf.typeLength !== 16)
    throw new CorruptError(leaf.path, 0, "expected numbers, byte strings or values of 16 bytes");
  const offset = leaf.maxRep > 0 ? rowOffsets(data, rows, 1) : undefined;
  const entries = offset ? offset[rows]! : rows;
  if (leaf.type === PhysicalType.BYTE_ARRAY) {
    const texts = data.values as BinaryValues;
    if (texts.offset.length - 1 !== entries)
      throw new CorruptError(
        leaf.path,
        0,
        `expected ${entries} byte strings, found ${texts.offset.length - 1}`,
      );
    return { rows, offset, slots: NO_SLOTS, texts, present: undefined };
  }
  const w = width(values, leaf.type);
  if (!def || values.length === entries * w) return { rows, offset, slots: values, present: undefined };
  // No reader uses the slots of entries without a value: a page without values needs none.
  if (values.length === 0) return { rows, offset, slots: values, present: new Uint8Array(entries) };
  // Nulls: one slot per entry. In a list an entry exists from definition level 1 on, in a flat column always.
  const slots =
    values instanceof BigInt64Array
      ? new BigInt64Array(entries)
      : values instanceof Int32Array
        ? new Int32Array(entries)
        : new Uint8Array(entries * w);
  const present = new Uint8Array(entries);
  let entry = 0,
    value = 0;
  for (let i = 0; i < def.length; i++) {
    if (offset && def[i]! < 1) continue;
    if (def[i] === leaf.maxDef) {
      if (w === 16)
        (slots as Uint8Array).set((values as Uint8Array).subarray(value * 16, value * 16 + 16), entry * 16);
      else slots[entry] = values[value]!;
      present[entry] = 1;
      value++;
    }
    entry++;
  }
  return { rows, offset, slots, present };
}

// Rows [from, from + rows) of a run, without a copy. The offsets of lists stay, so that they need not
// begin at 0.
function slice(run: ColumnRun, from: number, rows: number): ColumnRun {
  if (run.offset) return { ...run, rows, offset: run.offset.subarray(from, from + rows + 1) };
  if (run.texts)
    return {
      ...run,
      rows,
      texts: { bytes: run.texts.bytes, offset: run.texts.offset.subarray(from, from + rows + 1) },
    };
  const w = run.slots instanceof Uint8Array ? 16 : 1;
  return {
    rows,
    offset: undefined,
    slots: run.slots.subarray(from * w, (from + rows) * w),
    present: run.present?.subarray(from, from + rows),
  };
}

/** Copies slots between runs of one column, which have one type. */
function copySlots(from: Slots, start: number, end: number, into: Slots, at: number): void {
  if (from instanceof BigInt64Array) (into as BigInt64Array).set(from.subarray(start, end), at);
  else (into as Int32Array | Uint8Array).set(from.subarray(start, end), at);
}

// Copies runs into one whose offsets begin at 0.
function join(parts: readonly ColumnRun[], rows: number): ColumnRun {
  const first = parts[0]!;
  const w = first.slots instanceof Uint8Array ? 16 : 1;
  const span = (p: ColumnRun): [number, number] =>
    p.offset ? [p.offset[0]!, p.offset[p.rows]!] : [0, p.rows];
  let entries = 0;
  for (const p of parts) {
    const [a, b] = span(p);
    entries += b - a;
  }
  const texts = first.texts
    ? joinTexts(
        parts.map((p) => ({ texts: p.texts!, span: span(p) })),
        entries,
      )
    : undefined;
  const slots = texts
    ? NO_SLOTS
    : first.slots instanceof BigInt64Array
      ? new BigInt64Array(entries)
      : first.slots instanceof Int32Array
        ? new Int32Array(entries)
        : new Uint8Array(entries * w);
  const present = parts.some((p) => p.present) ? new Uint8Array(entries).fill(1) : undefined;
  const offset = first.offset ? new Uint32Array(rows + 1) : undefined;
  let at = 0,
    row = 0;
  for (const p of parts) {
    const [a, b] = span(p);
    if (!texts) copySlots(p.slots, a * w, b * w, slots, at * w);
    if (p.present) present!.set(p.present.subarray(a, b), at);
    if (offset) for (let i = 0; i < p.rows; i++) offset[row + i + 1] = at + p.offset![i + 1]! - a;
    at += b - a;
    row += p.rows;
  }
  return { rows, offset, slots, ...(texts ? { texts } : {}), present };
}

function joinTexts(
  parts: readonly { texts: BinaryValues; span: [number, number] }[],
  entries: number,
): BinaryValues {
  const pieces: Uint8Array[] = [],
    offset = new Uint32Array(entries + 1);
  let at = 0,
    bytes = 0;
  for (const {
    texts,
    span: [a, b],
  } of parts) {
    const first = texts.offset[a]!;
    pieces.push(texts.bytes.subarray(first, texts.offset[b]));
    for (let i = a; i < b; i++) offset[++at] = bytes + texts.offset[i + 1]! - first;
    bytes = offset[at]!;
  }
  return { bytes: Buffer.concat(pieces), offset };
}
