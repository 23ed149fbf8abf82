import { ByteReader, crc32c, ShortRead } from "@cinderblock/bytes";
import { CorruptError } from "@cinderblock/errors";
import type { IndexSeries } from "./encode.ts";

const TOC_SIZE = 76;

/** A section's payload, after a check of its length and CRC. */
function section(bytes: Uint8Array, at: number, what: string): ByteReader {
  const r = new ByteReader(bytes, at, bytes.length);
  const size = r.u32be();
  const start = r.requireBytes(size, `bytes of the ${what}`);
  if (crc32c(bytes, start, start + size) !== r.u32be())
    throw new ShortRead(at, `expected the CRC of the ${what} to match`);
  return new ByteReader(bytes, start, start + size);
}

/** Decodes all series of an `index.tsdb`, in file order. Format: docs/formats/index-tsdb.md */
export function decodeIndex(bytes: Uint8Array, file = "index.tsdb"): IndexSeries[] {
  try {
    return decode(bytes);
  } catch (err) {
    if (err instanceof ShortRead) throw new CorruptError(file, err.at, err.message, { cause: err });
    throw err;
  }
}

function decode(bytes: Uint8Array): IndexSeries[] {
  const head = new ByteReader(bytes);
  if (head.u32be() !== 0xbaaad700) throw new ShortRead(0, "expected the magic BAAAD700");
  const format = head.u8();
  if (format !== 2) throw new ShortRead(4, `expected format 2, found ${format}`);
  if (bytes.length < TOC_SIZE + 5) throw new ShortRead(bytes.length, "expected a table of contents");
  const tocAt = bytes.length - TOC_SIZE;
  const toc = new ByteReader(bytes, tocAt);
  const offsets = [0, 1, 2, 3, 4, 5, 6].map(() => toc.size64be());
  if (crc32c(bytes, tocAt, tocAt + 72) !== head.view.getUint32(tocAt + 72))
    throw new ShortRead(tocAt, "expected the CRC of the table of contents to match");
  for (const o of offsets)
    if (o > tocAt) throw new ShortRead(tocAt, `expected an offset inside the file, found ${o}`);

  const s = section(bytes, offsets[0]!, "symbol table");
  const symbolCount = s.u32be();
  if (symbolCount > s.left)
    throw new ShortRead(s.pos, `expected at most ${s.left} symbols, found ${symbolCount}`);
  const symbols: string[] = [];
  for (let i = 0; i < symbolCount; i++) symbols.push(s.str());

  // The first entry of the postings table lists all series.
  const table = section(bytes, offsets[5]!, "postings table");
  const entries = table.u32be();
  const series: IndexSeries[] = [];
  if (entries === 0) return series;
  if (table.uvarint() !== 2 || table.str() !== "" || table.str() !== "")
    throw new ShortRead(table.pos, "expected the postings of all series first");
  const all = section(bytes, table.uvarint(), "postings list");
  const count = all.u32be();
  if (count * 4 !== all.left)
    throw new ShortRead(all.pos, `expected ${count} postings, ${all.left} bytes left`);
  for (let i = 0; i < count; i++) series.push(readSeries(bytes, all.u32be() * 16, symbols));
  return series;
}

function readSeries(bytes: Uint8Array, at: number, symbols: readonly string[]): IndexSeries {
  const outer = new ByteReader(bytes, Math.min(at, bytes.length));
  const size = outer.uvarint();
  const start = outer.requireBytes(size, "bytes of a series");
  if (crc32c(bytes, start, start + size) !== outer.u32be())
    throw new ShortRead(at, "expected the CRC of the series to match");
  const r = new ByteReader(bytes, start, start + size);
  const fingerprint = r.u64be();
  const n = r.uvarint();
  if (n > r.left) throw new ShortRead(r.pos, `expected at most ${r.left} labels, found ${n}`);
  const labels: { name: string; value: string }[] = [];
  for (let i = 0; i < n; i++) {
    const name = symbols[r.uvarint()],
      value = symbols[r.uvarint()];
    if (name === undefined || value === undefined)
      throw new ShortRead(r.pos, "expected a symbol that exists");
    labels.push({ name, value });
  }
  const chunks = r.uvarint();
  if (chunks === 0) throw new ShortRead(r.pos, "expected at least one chunk");
  let minTime = 0n,
    maxTime = 0n,
    seriesIndex = 0,
    kb = 0,
    checksum = 0;
  for (let i = 0; i < chunks; i++) {
    const delta = r.varint64();
    const first = i === 0 ? delta : maxTime + delta;
    if (i === 0) minTime = first;
    maxTime = first + r.uvarint64();
    kb = r.uvarint();
    seriesIndex = r.uvarint();
    checksum = r.u32be();
  }
  return { labels, fingerprint, minTime, maxTime, seriesIndex, kb, checksum };
}
