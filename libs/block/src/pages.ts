import { CorruptError } from "@cinderblock/errors";
import {
  type ColumnChunk,
  type ColumnData,
  decodeChunk,
  decodeDictionary,
  decodeOffsetIndex,
  type ParquetFooter,
  type PageLocation,
  rowOffsets,
} from "@cinderblock/parquet";
import { type ByteRange, coalesceRanges } from "./ranges.ts";

/**
 * One column of a run. Entries of row i of the run are [offset[i], offset[i + 1]) in the decoded pages, which
 * may begin before the run's first row, because pages of two columns end at different rows.
 *
 *   column 0 (the plan)   | page, rows 10-19 | page, rows 20-29 |       the run: rows 10 to 29
 *   column 1      | page, rows 5-14 | page, rows 15-31          |       skipped: the entries of rows 5 to 9
 */
export interface RunColumn {
  data: ColumnData;
  offset: Uint32Array;
  /** number of entries in the decoded pages that precede the run's first row */
  skipped: number;
  entries: number;
}

/** Consecutive rows of a table whose list columns were decoded, one column per path. */
export interface PageRun {
  firstRow: number;
  rows: number;
  columns: RunColumn[];
}

type Read = (offset: number, size: number) => Promise<Uint8Array>;

interface ChunkPages {
  chunk: ColumnChunk;
  pages: PageLocation[];
  /** position of the dictionary page, which precedes the first data page */
  dictionary: ByteRange | undefined;
}
/** Pages [from, to) of a chunk, and their rows [firstRow, endRow) within the row group. */
interface PageSpan {
  from: number;
  to: number;
  firstRow: number;
  endRow: number;
}

/** First row after a page, within the row group. */
const endOf = (p: ChunkPages, page: number, groupRows: number): number =>
  p.pages[page + 1]?.firstRow ?? groupRows;

/** Spans of consecutive pages that contain some of the rows; `rows` are ascending, within the group. */
function spansOf(
  p: ChunkPages,
  rows: Uint32Array,
  from: number,
  to: number,
  base: number,
  groupRows: number,
): PageSpan[] {
  const out: PageSpan[] = [];
  let page = 0;
  for (let i = from; i < to; ) {
    const row = rows[i]! - base;
    while (endOf(p, page, groupRows) <= row) page++;
    const end = endOf(p, page, groupRows),
      last = out.at(-1);
    if (last && last.to === page) {
      last.to++;
      last.endRow = end;
    } else out.push({ from: page, to: page + 1, firstRow: p.pages[page]!.firstRow, endRow: end });
    while (i < to && rows[i]! - base < end) i++;
  }
  return out;
}

/** Pages of `p` that contain rows [first, end). */
function covering(p: ChunkPages, first: number, end: number, groupRows: number): PageSpan {
  let from = 0;
  while (from + 1 < p.pages.length && p.pages[from + 1]!.firstRow <= first) from++;
  let to = from + 1;
  while (to < p.pages.length && p.pages[to]!.firstRow < end) to++;
  return { from, to, firstRow: p.pages[from]!.firstRow, endRow: endOf(p, to - 1, groupRows) };
}

/**
 * Reads and decodes the pages of list columns that contain the wanted rows. One round of requests reads page
 * positions, and one reads pages; the number of requests is bounded. A chunk without an offset index counts
 * as one page.
 *
 *   rows -> row groups -> pages of paths[0] with a wanted row -> spans of pages
 *        -> pages of the other paths that cover them -> byte ranges -> coalesced requests -> decoded runs
 *
 * @param paths list columns of one list; the first one decides about the runs
 * @param rows ascending, within the table
 * @returns runs of rows, ascending; each has all rows of its pages, wanted or not
 * @throws CorruptError for a row group without a column, or a damaged page
 */
export async function readPages(
  table: ParquetFooter,
  file: string,
  paths: readonly string[],
  rows: Uint32Array,
  read: Read,
): Promise<PageRun[]> {
  const groups: { base: number; numRows: number; from: number; to: number; chunks: ColumnChunk[] }[] = [];
  let base = 0,
    i = 0;
  for (const g of table.rowGroups) {
    const from = i;
    while (i < rows.length && rows[i]! < base + g.numRows) i++;
    if (i > from) {
      const chunks = paths.map((path) => {
        const c = g.columns.get(path);
        if (!c) throw new CorruptError(file, 0, `expected column ${path} in every row group`);
        return c;
      });
      groups.push({ base, numRows: g.numRows, from, to: i, chunks });
    }
    base += g.numRows;
  }
  const indexes = await fetcher(
    groups.flatMap((g) =>
      g.chunks.flatMap((c) =>
        c.offsetIndex
          ? [{ start: c.offsetIndex.offset, end: c.offsetIndex.offset + c.offsetIndex.length }]
          : [],
      ),
    ),
    read,
  );
  const wanted: ByteRange[] = [];
  const plans = groups.map((g) => {
    const chunks = g.chunks.map((chunk): ChunkPages => {
      const found = chunk.offsetIndex
        ? decodeOffsetIndex(indexes(chunk.offsetIndex.offset, chunk.offsetIndex.length))
        : [];
      // Ignore invalid page positions and read the complete chunk.
      const end = chunk.start + chunk.sizeBytes;
      const sound =
        found.length > 0 &&
        found[0]!.firstRow === 0 &&
        found.every(
          (p, k) =>
            p.offset >= chunk.start &&
            p.offset + p.sizeBytes <= end &&
            p.firstRow < g.numRows &&
            (k === 0 ||
              (p.firstRow > found[k - 1]!.firstRow &&
                p.offset === found[k - 1]!.offset + found[k - 1]!.sizeBytes)),
        );
      if (!sound)
        return {
          chunk,
          pages: [{ offset: chunk.start, sizeBytes: chunk.sizeBytes, firstRow: 0 }],
          dictionary: undefined,
        };
      return {
        chunk,
        pages: found,
        dictionary:
          found[0]!.offset > chunk.start ? { start: chunk.start, end: found[0]!.offset } : undefined,
      };
    });
    const spans = spansOf(chunks[0]!, rows, g.from, g.to, g.base, g.numRows).map((s) =>
      chunks.map((c, k) => (k === 0 ? s : covering(c, s.firstRow, s.endRow, g.numRows))),
    );
    for (const s of spans) s.forEach((span, k) => wanted.push(bytesOf(chunks[k]!, span)));
    for (const c of chunks) if (c.dictionary) wanted.push(c.dictionary);
    return { g, chunks, spans };
  });
  const bytes = await fetcher(wanted, read);
  const out: PageRun[] = [];
  for (const { g, chunks, spans } of plans) {
    const dictionaries = chunks.map((c) =>
      c.dictionary
        ? decodeDictionary(bytes(c.dictionary.start, c.dictionary.end - c.dictionary.start), c.chunk, file)
        : undefined,
    );
    for (const s of spans) {
      const { firstRow, endRow } = s[0]!;
      const columns = s.map((span, k): RunColumn => {
        const range = bytesOf(chunks[k]!, span);
        const data = decodeChunk(
          bytes(range.start, range.end - range.start),
          chunks[k]!.chunk,
          file,
          dictionaries[k],
        );
        const all = rowOffsets(data, span.endRow - span.firstRow, 1);
        const offset = all.subarray(firstRow - span.firstRow, endRow - span.firstRow + 1);
        return { data, offset, skipped: offset[0]!, entries: offset[endRow - firstRow]! - offset[0]! };
      });
      out.push({ firstRow: g.base + firstRow, rows: endRow - firstRow, columns });
    }
  }
  return out;
}

/** File range of a span, whose pages are contiguous. */
function bytesOf(c: ChunkPages, span: PageSpan): ByteRange {
  const last = c.pages[span.to - 1]!;
  return { start: c.pages[span.from]!.offset, end: last.offset + last.sizeBytes };
}

/** Reads bytes that cover the ranges. @returns a function that cuts out one range */
async function fetcher(
  ranges: readonly ByteRange[],
  read: Read,
): Promise<(offset: number, size: number) => Uint8Array> {
  const parts = await Promise.all(
    coalesceRanges(ranges).map(async (r) => ({ ...r, bytes: await read(r.start, r.end - r.start) })),
  );
  return (offset, size) => {
    const part = parts.find((p) => offset >= p.start && offset + size <= p.end)!;
    return part.bytes.subarray(offset - part.start, offset - part.start + size);
  };
}
