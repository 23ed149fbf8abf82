import { ByteReader, crc32c, decodeUtf8, ShortRead } from "@cinderblock/bytes";

/** Bytes of the table of contents at the end of the file, and of the magic and the format at its start. */
export const TOC_SIZE = 76,
  MAGIC_SIZE = 5;

/** Offsets of the sections. */
export interface Toc {
  symbols: number;
  series: number;
  labelIndices: number;
  labelIndicesTable: number;
  postings: number;
  postingsTable: number;
  fingerprints: number;
}

/** A section's payload, after a check of its length and CRC. */
export function readSection(bytes: Uint8Array, at: number, what: string): ByteReader {
  const r = new ByteReader(bytes, at, bytes.length);
  const size = r.u32be();
  const start = r.requireBytes(size, `bytes of the ${what}`);
  if (crc32c(bytes, start, start + size) !== r.u32be())
    throw new ShortRead(at, `expected the CRC of the ${what} to match`);
  return new ByteReader(bytes, start, start + size);
}

/** Checks the magic and the format at the start of the file. */
export function checkMagic(bytes: Uint8Array): void {
  const r = new ByteReader(bytes);
  if (r.u32be() !== 0xbaaad700) throw new ShortRead(0, "expected the magic BAAAD700");
  const format = r.u8();
  if (format !== 2) throw new ShortRead(4, `expected format 2, found ${format}`);
}

/** @param end bytes of the file before the table of contents: no section starts after it */
export function readToc(bytes: Uint8Array, at: number, end: number): Toc {
  const r = new ByteReader(bytes, at);
  const [symbols, series, labelIndices, labelIndicesTable, postings, postingsTable, fingerprints] =
    Array.from({ length: 7 }, () => r.size64be()) as [number, number, number, number, number, number, number];
  if (crc32c(bytes, at, at + 72) !== r.view.getUint32(at + 72))
    throw new ShortRead(at, "expected the CRC of the table of contents to match");
  const toc = { symbols, series, labelIndices, labelIndicesTable, postings, postingsTable, fingerprints };
  for (const o of Object.values(toc))
    if (o > end) throw new ShortRead(at, `expected an offset inside the file, found ${o}`);
  return toc;
}

/** The texts of a file, decoded when they are read. */
export class SymbolTable {
  private readonly bytes: Uint8Array;
  private readonly start: Uint32Array;
  private readonly end: Uint32Array;
  private readonly texts: (string | undefined)[] = [];

  constructor(section: ByteReader) {
    const count = section.u32be();
    if (count > section.left)
      throw new ShortRead(section.pos, `expected at most ${section.left} symbols, found ${count}`);
    this.bytes = section.bytes;
    this.start = new Uint32Array(count);
    this.end = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const size = section.uvarint();
      this.start[i] = section.requireBytes(size);
      this.end[i] = section.pos;
    }
  }

  get length(): number {
    return this.start.length;
  }

  /** bytes in memory, if each text is decoded once */
  get byteLength(): number {
    return 3 * this.bytes.length + 24 * this.start.length;
  }

  /** The text of a number below `length`. */
  text(id: number): string {
    return (this.texts[id] ??= decodeUtf8(this.bytes, this.start[id]!, this.end[id]!));
  }
}

/** Bytes of the series at `at`, from its length to its CRC, as far as `bytes` holds the length. */
export function seriesSize(bytes: Uint8Array, at: number): number {
  const r = new ByteReader(bytes, Math.min(at, bytes.length));
  const size = r.uvarint();
  return r.pos - at + size + 4;
}
