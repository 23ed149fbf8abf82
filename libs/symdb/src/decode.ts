import { crc32c, ShortRead } from "@cinderblock/bytes";
import { CorruptError } from "@cinderblock/errors";
import {
  type ColumnData,
  decodeChunk,
  decodeFooter as decodeParquetFooter,
  footerLength,
  type BinaryValues,
  rowOffsets,
} from "@cinderblock/parquet";
import { type PartitionIndex, type RowRange, type StackBlockHeader, TABLE_FORMAT } from "./index-section.ts";
import { decodeStackTree } from "./stack-tree.ts";
import { decodeFunctions, decodeLocations, decodeMappings, decodeStrings } from "./table-blocks.ts";
import {
  FUNCTION_WORDS,
  HAS_FILENAMES,
  HAS_FUNCTIONS,
  HAS_INLINE_FRAMES,
  HAS_LINE_NUMBERS,
  LOCATION_HEAD,
  MAPPING_WORDS,
  type SymbolTables,
} from "./tables.ts";

/**
 * Maximum number of stack nodes over all trees of a partition: 2 GiB of columns. A header cannot claim more.
 */
const MAX_NODES = 1 << 28;

// Turns a decoder's position in its bytes into an error with the file and its offset in bytes.
function corrupt(file: string, err: unknown, base = 0): never {
  if (err instanceof ShortRead) throw new CorruptError(file, base + err.at, err.message, { cause: err });
  throw err;
}

/**
 * Decodes the stack trees of a partition into one ID space: stacktrace ID = tree * maxNodes + node.
 *
 *   ID   0 ... nodes - 1 |  gap  | maxNodes ... maxNodes + nodes - 1 |  gap  | 2 * maxNodes ...
 *        tree 0                    tree 1                                      tree 2
 *
 * Every tree has its own root. IDs in a gap have no location and count as roots, parent -1. With one tree,
 * the columns have exactly its nodes, because current writers put 2^32 - 1 into maxNodes.
 * @param read returns the bytes of one tree, which are needed during the call only
 * @throws CorruptError for a wrong CRC, too many nodes, or a parent that follows its child
 */
export function decodeStacks(
  stacks: readonly StackBlockHeader[],
  read: (h: StackBlockHeader) => Uint8Array,
  file: string,
): Pick<SymbolTables, "stackParent" | "stackLocation"> {
  const last = stacks.at(-1);
  if (!last) return { stackParent: Int32Array.of(-1), stackLocation: Uint32Array.of(0) };
  const total = stacks.length === 1 ? last.nodes : (stacks.length - 1) * last.maxNodes + last.nodes;
  if (total > MAX_NODES)
    throw new CorruptError(file, last.offset, `expected at most ${MAX_NODES} stack nodes, found ${total}`);
  const stackParent = new Int32Array(total).fill(-1);
  const stackLocation = new Uint32Array(total);
  stacks.forEach((h, i) => {
    const bytes = read(h);
    if (crc32c(bytes) !== h.crc)
      throw new CorruptError(file, h.offset, "expected the CRC of the stack tree to match");
    // Two nodes take at least five bytes, so that more nodes than bytes are damage.
    if (h.nodes > bytes.length || (stacks.length > 1 && h.nodes > h.maxNodes))
      throw new CorruptError(
        file,
        h.offset,
        `expected at most ${bytes.length} stack nodes, found ${h.nodes}`,
      );
    try {
      decodeStackTree(bytes, h.nodes, stackParent, stackLocation, i * (stacks.length > 1 ? h.maxNodes : 0));
    } catch (err) {
      corrupt(file, err, h.offset);
    }
  });
  return { stackParent, stackLocation };
}

/**
 * Decodes one partition of a v3 file; `read(offset, size)` returns its bytes. The result holds no views of
 * them.
 * @throws CorruptError for a wrong table format or CRC, and for counts or sizes that do not fit; errors
 * inside of a table have an offset from the start of that table
 */
export function decodePartitionV3(
  p: PartitionIndex,
  read: (offset: number, size: number) => Uint8Array,
  file: string,
): SymbolTables {
  const [locations, mappings, functions, strings] = p.tables!;
  const table = (h: NonNullable<typeof locations>, format: number): Uint8Array => {
    const bytes = read(h.offset, h.size);
    if (h.format !== format)
      throw new CorruptError(file, h.offset, `expected table format ${format}, found ${h.format}`);
    if (crc32c(bytes) !== h.crc)
      throw new CorruptError(file, h.offset, "expected the CRC of the symbol table to match");
    return bytes;
  };
  try {
    return {
      ...decodeStrings(table(strings!, TABLE_FORMAT.strings), strings!.length, strings!.headerSize),
      mappingWords: decodeMappings(
        table(mappings!, TABLE_FORMAT.mappings),
        mappings!.length,
        mappings!.headerSize,
      ),
      functionWords: decodeFunctions(
        table(functions!, TABLE_FORMAT.functions),
        functions!.length,
        functions!.headerSize,
      ),
      ...decodeLocations(table(locations!, TABLE_FORMAT.locations), locations!.length, locations!.headerSize),
      ...decodeStacks(p.stacks, (h) => read(h.offset, h.size), file),
    };
  } catch (err) {
    return corrupt(file, err);
  }
}

/**
 * All rows of the four symbol tables in Parquet (v2 folder, and the root files of older blocks), by row
 * group. A partition selects its rows by ranges; references count from the start of the selected rows.
 */
export interface ParquetSymbols {
  strings: RowGroupTable<BinaryValues>;
  functions: RowGroupTable<Uint32Array>;
  mappings: RowGroupTable<Uint32Array>;
  locations: RowGroupTable<{ words: Uint32Array; offset: Uint32Array }>;
}
// `data` has the layout of the matching column of SymbolTables, for the rows of one row group.
interface RowGroupTable<T> {
  groups: { rows: number; data: T }[];
}

// Walks the row groups of one Parquet file in memory. The last 8 bytes are: footer size <4b> | "PAR1".
function readTable<T>(
  bytes: Uint8Array,
  file: string,
  toData: (columns: (path: string) => ColumnData, rows: number) => T,
): RowGroupTable<T> {
  const size = footerLength(bytes.subarray(-8), file);
  if (size + 12 > bytes.length)
    throw new CorruptError(file, bytes.length, `expected a footer of ${size} bytes`);
  const meta = decodeParquetFooter(bytes.subarray(bytes.length - 8 - size, bytes.length - 8), file);
  return {
    groups: meta.rowGroups.map((g) => ({
      rows: g.numRows,
      data: toData((path) => {
        const chunk = g.columns.get(path);
        if (!chunk) throw new CorruptError(file, 0, `expected a column ${path}`);
        if (chunk.start < 0 || chunk.start + chunk.sizeBytes > bytes.length)
          throw new CorruptError(file, chunk.start, `expected column ${path} inside the file`);
        return decodeChunk(bytes.subarray(chunk.start, chunk.start + chunk.sizeBytes), chunk, file);
      }, g.numRows),
    })),
  };
}

// 64-bit values as (lo, hi) words: IDs and lines of these tables fit the low word, at index 2 * i.
function lows(c: ColumnData): Int32Array {
  const v = c.values as BigInt64Array;
  return new Int32Array(v.buffer, v.byteOffset, v.length * 2);
}

/** Whole contents of the four Parquet files, from `symbols/` (version 2) or the block's root (version 1). */
export interface SymbolFiles {
  strings: Uint8Array;
  functions: Uint8Array;
  mappings: Uint8Array;
  locations: Uint8Array;
}

/**
 * Decodes the four Parquet files. The Id columns are not read, because a row's position is its ID.
 * @param block block ID for the errors' file names
 * @throws CorruptError for a missing column, a column outside of the file, or a damaged page
 */
export function decodeParquetSymbols(files: SymbolFiles, block: string): ParquetSymbols {
  try {
    return {
      strings: readTable(
        files.strings,
        `${block}/strings.parquet`,
        (column) => column("String").values as BinaryValues,
      ),
      functions: readTable(files.functions, `${block}/functions.parquet`, (column, rows) => {
        const parts = ["Name", "SystemName", "Filename", "StartLine"].map((n) => lows(column(n)));
        const out = new Uint32Array(rows * FUNCTION_WORDS);
        for (let i = 0; i < rows; i++)
          for (let k = 0; k < FUNCTION_WORDS; k++) out[i * FUNCTION_WORDS + k] = parts[k]![2 * i]!;
        return out;
      }),
      mappings: readTable(files.mappings, `${block}/mappings.parquet`, (column, rows) => {
        const wide = ["MemoryStart", "MemoryLimit", "FileOffset"].map((n) => lows(column(n)));
        const names = ["Filename", "BuildId"].map((n) => lows(column(n)));
        const flags = ["HasFunctions", "HasFilenames", "HasLineNumbers", "HasInlineFrames"].map(
          (n) => column(n).values as Uint8Array,
        );
        const bit = [HAS_FUNCTIONS, HAS_FILENAMES, HAS_LINE_NUMBERS, HAS_INLINE_FRAMES];
        const out = new Uint32Array(rows * MAPPING_WORDS);
        for (let i = 0; i < rows; i++) {
          const at = i * MAPPING_WORDS;
          for (let k = 0; k < 3; k++) {
            out[at + 2 * k] = wide[k]![2 * i]!;
            out[at + 2 * k + 1] = wide[k]![2 * i + 1]!;
          }
          out[at + 6] = names[0]![2 * i]!;
          out[at + 7] = names[1]![2 * i]!;
          for (let k = 0; k < 4; k++) if (flags[k]![i]) out[at + 8]! |= bit[k]!;
        }
        return out;
      }),
      locations: readTable(files.locations, `${block}/locations.parquet`, (column, rows) => {
        const mapping = lows(column("MappingId")),
          address = lows(column("Address"));
        const folded = column("IsFolded").values as Uint8Array;
        const fn = column("Line.FunctionId");
        const fns = lows(fn),
          lines = lows(column("Line.Line"));
        const lineOffset = rowOffsets(fn, rows, fn.leaf.maxDef);
        const words = new Uint32Array(rows * LOCATION_HEAD + 2 * lineOffset[rows]!);
        const offset = new Uint32Array(rows + 1);
        let at = 0;
        for (let i = 0; i < rows; i++) {
          words[at++] = mapping[2 * i]!;
          words[at++] = address[2 * i]!;
          words[at++] = address[2 * i + 1]!;
          words[at++] = folded[i]!;
          for (let k = lineOffset[i]!; k < lineOffset[i + 1]!; k++) {
            words[at++] = fns[2 * k]!;
            words[at++] = lines[2 * k]!;
          }
          offset[i + 1] = at;
        }
        return { words, offset };
      }),
    };
  } catch (err) {
    return corrupt(block, err);
  }
}

/**
 * Tables of one partition: the rows of its ranges, concatenated, or all rows (symdb v1 shares its tables).
 * All columns are copies.
 * @param ranges [4][ranges] for locations, mappings, functions, strings
 * @throws CorruptError for a range past the end of its row group
 */
export function selectPartition(
  symbols: ParquetSymbols,
  ranges: RowRange[][] | undefined,
  block: string,
): Omit<SymbolTables, "stackParent" | "stackLocation"> {
  const all = <T>(t: RowGroupTable<T>): RowRange[] =>
    t.groups.map((g, rowGroup) => ({ rowGroup, first: 0, rows: g.rows }));
  const [locationRanges, mappingRanges, functionRanges, stringRanges] = ranges ?? [
    all(symbols.locations),
    all(symbols.mappings),
    all(symbols.functions),
    all(symbols.strings),
  ];
  const pick = <T>(t: RowGroupTable<T>, list: RowRange[]): { data: T; from: number; to: number }[] =>
    list.map((r) => {
      const g = t.groups[r.rowGroup];
      if (!g || r.first + r.rows > g.rows)
        throw new CorruptError(
          block,
          0,
          `expected symbol rows ${r.first}+${r.rows} in row group ${r.rowGroup}`,
        );
      return { data: g.data, from: r.first, to: r.first + r.rows };
    });
  const strings = pick(symbols.strings, stringRanges!);
  const locations = pick(symbols.locations, locationRanges!);
  const stringOffset = new Uint32Array(1 + strings.reduce((s, r) => s + r.to - r.from, 0));
  const stringBytes = new Uint8Array(
    strings.reduce((s, r) => s + r.data.offset[r.to]! - r.data.offset[r.from]!, 0),
  );
  let at = 0,
    bytesAt = 0;
  for (const { data, from, to } of strings) {
    for (let i = from; i < to; i++) stringOffset[++at] = bytesAt + data.offset[i + 1]! - data.offset[from]!;
    stringBytes.set(data.bytes.subarray(data.offset[from]!, data.offset[to]!), bytesAt);
    bytesAt += data.offset[to]! - data.offset[from]!;
  }
  const locationOffset = new Uint32Array(1 + locations.reduce((s, r) => s + r.to - r.from, 0));
  const locationWords = new Uint32Array(
    locations.reduce((s, r) => s + r.data.offset[r.to]! - r.data.offset[r.from]!, 0),
  );
  at = bytesAt = 0;
  for (const { data, from, to } of locations) {
    for (let i = from; i < to; i++) locationOffset[++at] = bytesAt + data.offset[i + 1]! - data.offset[from]!;
    locationWords.set(data.words.subarray(data.offset[from]!, data.offset[to]!), bytesAt);
    bytesAt += data.offset[to]! - data.offset[from]!;
  }
  const words = (t: RowGroupTable<Uint32Array>, list: RowRange[], width: number): Uint32Array => {
    const parts = pick(t, list);
    const out = new Uint32Array(parts.reduce((s, r) => s + (r.to - r.from) * width, 0));
    let pos = 0;
    for (const { data, from, to } of parts) {
      out.set(data.subarray(from * width, to * width), pos);
      pos += (to - from) * width;
    }
    return out;
  };
  return {
    stringBytes,
    stringOffset,
    locationWords,
    locationOffset,
    functionWords: words(symbols.functions, functionRanges!, FUNCTION_WORDS),
    mappingWords: words(symbols.mappings, mappingRanges!, MAPPING_WORDS),
  };
}

/**
 * Decodes the stacks of meta version 1: `stacktraces.parquet` lists location IDs, leaf first, and the row
 * number is the stacktrace ID.
 * @returns a tree in which each row has nodes for itself alone, and `leaf`: [rows] row -> node of its leaf
 * @throws CorruptError for a missing column or a damaged page
 */
export function decodeStacktraceTable(
  bytes: Uint8Array,
  block: string,
): Pick<SymbolTables, "stackParent" | "stackLocation"> {
  const table = readTable(bytes, `${block}/stacktraces.parquet`, (column, rows) => {
    const ids = column("LocationIDs.list.element");
    return { ids: lows(ids), offset: rowOffsets(ids, rows, ids.leaf.maxDef) };
  });
  // Each row gets a chain of its own nodes, without shared prefixes; `leaf` maps a row to the end of its
  // chain.
  const parent: number[] = [-1],
    location: number[] = [0];
  const leaf: number[] = [];
  for (const g of table.groups) {
    for (let i = 0; i < g.rows; i++) {
      let node = 0;
      for (let k = g.data.offset[i + 1]! - 1; k >= g.data.offset[i]!; k--) {
        parent.push(node);
        location.push(g.data.ids[2 * k]!);
        node = parent.length - 1;
      }
      leaf.push(node);
    }
  }
  return Object.assign(
    { stackParent: Int32Array.from(parent), stackLocation: Uint32Array.from(location) },
    { leaf: Uint32Array.from(leaf) },
  );
}
