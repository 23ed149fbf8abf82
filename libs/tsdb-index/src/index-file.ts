import { ShortRead } from "@cinderblock/bytes";
import { CorruptError } from "@cinderblock/errors";
import { checkMagic, readSection, readToc, seriesSize, SymbolTable, type Toc, TOC_SIZE } from "./sections.ts";
import { SeriesDecoder } from "./series-columns.ts";

/** Reads `size` bytes of a file from `offset`. */
export type ReadRange = (offset: number, size: number) => Promise<Uint8Array>;

/** A label value, and where the list of its series is. */
export interface PostingsEntry {
  readonly value: string;
  /** number of series, by the distance to the next list: an estimate that needs no read */
  readonly count: number;
  readonly offset: number;
}

/** A part of the file in memory. */
interface Chunk {
  bytes: Uint8Array;
  offset: number;
}

/** Bytes of a postings list without series: length, count and CRC. */
const EMPTY_LIST_BYTES = 12;
/** Parts of the file that are closer than this are read at once: a request costs more than the bytes. */
const GAP_BYTES = 64 << 10;
/** Bytes to read for one series; a longer one is read again. */
const SERIES_BYTES = 2 << 10;
/** Bytes in memory of an entry of the postings table, besides its value. */
const ENTRY_BYTES = 72;

/**
 * The names, values and postings lists of an `index.tsdb`, without its series. Opening it reads the table of
 * contents and the postings table; lists and series are read by ranges when a question needs them. Format:
 * docs/formats/index-tsdb.md
 */
export class IndexFile {
  /** label name -> its values in the order of the file */
  readonly entries: ReadonlyMap<string, readonly PostingsEntry[]>;
  /** number of all series */
  readonly seriesCount: number;
  /** bytes of symbols, lists and series that were read since the file was opened */
  bytesRead = 0;
  private readonly file: string;
  private readonly readRange: ReadRange;
  private readonly toc: Toc;
  private readonly tableBytes: number;
  private symbols: Promise<SymbolTable> | undefined;
  private symbolBytes = 0;

  private constructor(file: string, readRange: ReadRange, toc: Toc, table: Chunk) {
    this.file = file;
    this.readRange = readRange;
    this.toc = toc;
    this.tableBytes = table.bytes.length;
    [this.seriesCount, this.entries] = this.within(table.offset, () =>
      readPostingsTable(table.bytes, toc.postingsTable - table.offset, toc.labelIndicesTable),
    );
  }

  /**
   * Opens a file of `size` bytes.
   * @param tailBytes number of bytes to read first, from the end of the file
   */
  static async open(file: string, size: number, tailBytes: number, readRange: ReadRange): Promise<IndexFile> {
    const offset = Math.max(0, size - tailBytes),
      bytes = await readRange(offset, size - offset);
    const toc = atOffset(file, offset, () => {
      if (bytes.length !== size - offset || bytes.length < TOC_SIZE)
        throw new ShortRead(bytes.length, `expected a file of ${size} bytes with a table of contents`);
      return readToc(bytes, bytes.length - TOC_SIZE, size - TOC_SIZE);
    });
    if (toc.postingsTable >= offset) return new IndexFile(file, readRange, toc, { bytes, offset });
    const start = await readRange(toc.postingsTable, offset - toc.postingsTable);
    return new IndexFile(file, readRange, toc, {
      bytes: Buffer.concat([start, bytes]),
      offset: toc.postingsTable,
    });
  }

  /** bytes in memory */
  get byteLength(): number {
    let entries = 0;
    for (const list of this.entries.values()) entries += list.length;
    return this.tableBytes + ENTRY_BYTES * entries + this.symbolBytes;
  }

  /**
   * References of the series in postings lists, ascending and each once.
   * @throws `corrupt` for a damaged list
   */
  async postings(entries: readonly PostingsEntry[]): Promise<Uint32Array> {
    const sorted = [...entries].sort((a, b) => a.offset - b.offset),
      lists: Uint32Array[] = [];
    for (const run of runsOf(
      sorted.map((e) => ({ start: e.offset, end: e.offset + EMPTY_LIST_BYTES + 4 * e.count })),
    )) {
      const chunk = await this.chunk(run.start, run.end - run.start);
      this.within(chunk.offset, () => {
        for (const e of sorted.slice(run.first, run.last + 1))
          lists.push(readPostings(chunk.bytes, e.offset - chunk.offset));
      });
    }
    const all = new Uint32Array(lists.reduce((n, l) => n + l.length, 0));
    let at = 0;
    for (const list of lists) {
      all.set(list, at);
      at += list.length;
    }
    all.sort();
    return all.filter((ref, i) => i === 0 || ref !== all[i - 1]);
  }

  /** Collects series of this file for `readSeries`. */
  async decoder(): Promise<SeriesDecoder> {
    return new SeriesDecoder(await (this.symbols ??= this.readSymbols()));
  }

  /**
   * Adds the series at ascending references to a decoder, in this order.
   * @throws `corrupt` for a damaged series
   */
  async readSeries(refs: Uint32Array, out: SeriesDecoder): Promise<void> {
    const end = this.toc.labelIndices;
    const runs = runsOf(
      Array.from(refs, (ref) => ({ start: ref * 16, end: Math.min(ref * 16 + SERIES_BYTES, end) })),
    );
    for (const run of runs) {
      const last = refs[run.last]! * 16;
      let chunk = await this.chunk(run.start, run.end - run.start);
      const size = this.within(chunk.offset, () => seriesSize(chunk.bytes, last - chunk.offset));
      if (last + size > run.end) chunk = await this.chunk(run.start, Math.min(last + size, end) - run.start);
      this.within(chunk.offset, () => {
        for (const ref of refs.subarray(run.first, run.last + 1))
          out.add(chunk.bytes, ref * 16 - chunk.offset);
      });
    }
  }

  private async readSymbols(): Promise<SymbolTable> {
    try {
      const { bytes } = await this.chunk(0, this.toc.series);
      const symbols = this.within(0, () => {
        checkMagic(bytes);
        return new SymbolTable(readSection(bytes, this.toc.symbols, "symbol table"));
      });
      this.symbolBytes = symbols.byteLength;
      return symbols;
    } catch (err) {
      this.symbols = undefined;
      throw err;
    }
  }

  private async chunk(offset: number, size: number): Promise<Chunk> {
    const bytes = await this.readRange(offset, Math.max(0, size));
    this.bytesRead += bytes.length;
    return { bytes, offset };
  }

  private within<T>(offset: number, work: () => T): T {
    return atOffset(this.file, offset, work);
  }
}

/** Reports damage in a part of the file at its position in the file. */
function atOffset<T>(file: string, offset: number, work: () => T): T {
  try {
    return work();
  } catch (err) {
    if (err instanceof ShortRead) throw new CorruptError(file, offset + err.at, err.message, { cause: err });
    throw err;
  }
}

/** Number of all series, and the entries of each name; the lists end at `listsEnd`. */
function readPostingsTable(
  bytes: Uint8Array,
  at: number,
  listsEnd: number,
): [series: number, Map<string, PostingsEntry[]>] {
  const table = readSection(bytes, at, "postings table"),
    count = table.u32be();
  if (count > table.left)
    throw new ShortRead(table.pos, `expected at most ${table.left} entries, found ${count}`);
  const names: string[] = [],
    values: string[] = [],
    offsets = new Float64Array(count + 1);
  for (let i = 0; i < count; i++) {
    const pos = table.pos;
    if (table.uvarint() !== 2) throw new ShortRead(pos, "expected an entry of a name and a value");
    names.push(table.str());
    values.push(table.str());
    if (i === 0 && (names[0] !== "" || values[0] !== ""))
      throw new ShortRead(pos, "expected the postings of all series first");
    offsets[i] = table.uvarint();
  }
  offsets[count] = listsEnd;
  const seriesIn = (i: number): number =>
    Math.max(0, Math.floor((offsets[i + 1]! - offsets[i]! - EMPTY_LIST_BYTES) / 4));
  const entries = new Map<string, PostingsEntry[]>();
  for (let i = 1; i < count; i++) {
    const entry = { value: values[i]!, count: seriesIn(i), offset: offsets[i]! },
      list = entries.get(names[i]!);
    if (list) list.push(entry);
    else entries.set(names[i]!, [entry]);
  }
  return [count === 0 ? 0 : seriesIn(0), entries];
}

function readPostings(bytes: Uint8Array, at: number): Uint32Array {
  const list = readSection(bytes, at, "postings list"),
    count = list.u32be();
  if (count * 4 !== list.left)
    throw new ShortRead(list.pos, `expected ${count} postings, ${list.left} bytes left`);
  const refs = new Uint32Array(count);
  for (let i = 0; i < count; i++) refs[i] = list.u32be();
  return refs;
}

/** Joins ranges with ascending starts to runs that are read at once; `first` and `last` are their positions. */
function runsOf(
  ranges: readonly { start: number; end: number }[],
): { start: number; end: number; first: number; last: number }[] {
  const runs: { start: number; end: number; first: number; last: number }[] = [];
  ranges.forEach(({ start, end }, i) => {
    const run = runs.at(-1);
    if (run && start - run.end <= GAP_BYTES) {
      run.end = Math.max(run.end, end);
      run.last = i;
    } else runs.push({ start, end, first: i, last: i });
  });
  return runs;
}
