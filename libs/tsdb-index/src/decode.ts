import { ShortRead } from "@cinderblock/bytes";
import { CorruptError } from "@cinderblock/errors";
import type { IndexSeries } from "./encode.ts";
import { checkMagic, MAGIC_SIZE, readSection, readToc, SymbolTable, TOC_SIZE } from "./sections.ts";
import { type IndexColumns, SeriesDecoder, seriesOf } from "./series-columns.ts";

/** Decodes all series of an `index.tsdb`, in file order. Format: docs/formats/index-tsdb.md */
export function decodeIndex(bytes: Uint8Array, file = "index.tsdb"): IndexSeries[] {
  return seriesOf(decodeIndexColumns(bytes, file));
}

/** Decodes all series of an `index.tsdb` into columns, in file order. Format: docs/formats/index-tsdb.md */
export function decodeIndexColumns(bytes: Uint8Array, file = "index.tsdb"): IndexColumns {
  try {
    return decode(bytes);
  } catch (err) {
    if (err instanceof ShortRead) throw new CorruptError(file, err.at, err.message, { cause: err });
    throw err;
  }
}

function decode(bytes: Uint8Array): IndexColumns {
  checkMagic(bytes);
  if (bytes.length < TOC_SIZE + MAGIC_SIZE) throw new ShortRead(bytes.length, "expected a table of contents");
  const tocAt = bytes.length - TOC_SIZE,
    toc = readToc(bytes, tocAt, tocAt),
    series = new SeriesDecoder(new SymbolTable(readSection(bytes, toc.symbols, "symbol table")));

  // The first entry of the postings table lists all series.
  const table = readSection(bytes, toc.postingsTable, "postings table");
  const entries = table.u32be();
  if (entries === 0) return series.finish();
  if (table.uvarint() !== 2 || table.str() !== "" || table.str() !== "")
    throw new ShortRead(table.pos, "expected the postings of all series first");
  const all = readSection(bytes, table.uvarint(), "postings list");
  const count = all.u32be();
  if (count * 4 !== all.left)
    throw new ShortRead(all.pos, `expected ${count} postings, ${all.left} bytes left`);
  for (let i = 0; i < count; i++) series.add(bytes, all.u32be() * 16);
  return series.finish();
}
