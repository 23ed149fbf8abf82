import { ByteReader, ByteWriter, crc32c, ShortRead } from "@cinderblock/bytes";
import { CorruptError } from "@cinderblock/errors";

/** Position and shape of a stack tree (64 bytes). */
export interface StackBlockHeader {
  offset: number;
  size: number;
  partition: bigint;
  blockIndex: number;
  stacktraces: number;
  nodes: number;
  maxDepth: number;
  maxNodes: number;
  crc: number;
}
/** A range of rows in `symbols/<table>.parquet` (v2). */
export interface RowRange {
  rowGroup: number;
  first: number;
  rows: number;
}
/** A table of a v3 file (32 bytes). */
export interface TableHeader {
  offset: number;
  size: number;
  crc: number;
  length: number;
  blockSize: number;
  headerSize: number;
  format: number;
}

/** Index entry of one symbol partition: its stack trees and its tables. */
export interface PartitionIndex {
  partition: bigint;
  stacks: StackBlockHeader[];
  /** format version 2: row ranges in the tables of locations, mappings, functions and strings */
  ranges?: RowRange[][];
  /** format version 3: headers of the tables of locations, mappings, functions and strings */
  tables?: TableHeader[];
}

/** Index section: the location of every symbol partition's tables. */
export interface SymdbIndex {
  version: 1 | 2 | 3;
  reserved: bigint;
  partitions: PartitionIndex[];
}

const MAGIC = 0x73796d31; // Magic bytes of a symdb file: "sym1".
/** Size of the version 3 footer in bytes. Format: docs/formats/symbols-symdb.md */
export const FOOTER_SIZE = 24;
/** Format number of each table in its version 3 header. */
export const TABLE_FORMAT = { locations: 1, functions: 2, mappings: 3, strings: 4 } as const;

function readStackHeader(r: ByteReader): StackBlockHeader {
  const offset = r.size64be(),
    size = r.size64be(),
    partition = r.u64be(),
    blockIndex = r.u16be();
  r.u8();
  const encoding = r.u8();
  if (encoding !== 1) throw new ShortRead(r.pos - 1, `expected stack tree encoding 1, found ${encoding}`);
  r.requireBytes(4);
  const stacktraces = r.u32be(),
    nodes = r.u32be(),
    maxDepth = r.u32be(),
    maxNodes = r.u32be();
  r.requireBytes(12);
  const crc = r.u32be();
  if (maxNodes === 0) throw new ShortRead(r.pos, "expected a number of nodes per block above 0");
  return { offset, size, partition, blockIndex, stacktraces, nodes, maxDepth, maxNodes, crc };
}

function writeStackHeader(out: ByteWriter, h: StackBlockHeader): void {
  out.u64be(BigInt(h.offset));
  out.u64be(BigInt(h.size));
  out.u64be(h.partition);
  out.u16be(h.blockIndex);
  out.u8(0);
  out.u8(1);
  out.u32be(0);
  out.u32be(h.stacktraces);
  out.u32be(h.nodes);
  out.u32be(h.maxDepth);
  out.u32be(h.maxNodes);
  out.zeros(12);
  out.u32be(h.crc);
}

function list<T>(r: ByteReader, count: number, size: number, read: () => T): T[] {
  if (count * size > r.left)
    throw new ShortRead(r.pos, `expected ${count} entries of ${size} bytes, ${r.left} bytes left`);
  return Array.from({ length: count }, read);
}

/** Decodes an index section: `index.symdb`, or the part of `symbols.symdb` before the footer. */
export function decodeIndex(bytes: Uint8Array, file: string): SymdbIndex {
  const r = new ByteReader(bytes);
  try {
    if (r.u32be() !== MAGIC) throw new ShortRead(0, "expected the magic sym1");
    const version = r.u32be();
    if (version !== 1 && version !== 2 && version !== 3)
      throw new ShortRead(4, `expected version 1, 2 or 3, found ${version}`);
    const reserved = r.u64be();
    const size = r.size64be(),
      offset = r.size64be();
    if (offset + size + 4 > bytes.length)
      throw new ShortRead(16, `expected an index of ${offset + size + 4} bytes, found ${bytes.length}`);
    const crcAt = bytes.length - 4;
    if (crc32c(bytes, 0, crcAt) !== r.view.getUint32(crcAt))
      throw new ShortRead(crcAt, "expected the CRC of the index to match");
    r.pos = offset;
    r.end = offset + size;
    if (version === 1) {
      const headers = list(r, Math.floor(size / 64), 64, () => readStackHeader(r));
      const partitions: PartitionIndex[] = [];
      for (const h of headers) {
        const last = partitions.at(-1);
        if (last && last.partition === h.partition) last.stacks.push(h);
        else partitions.push({ partition: h.partition, stacks: [h] });
      }
      return { version, reserved, partitions };
    }
    const n = r.u32be();
    const partitions = list(r, n, 12, (): PartitionIndex => {
      const partition = r.u64be();
      const stacks = r.u32be();
      if (version === 2) {
        const counts = [r.u32be(), r.u32be(), r.u32be(), r.u32be()];
        const headers = list(r, stacks, 64, () => readStackHeader(r));
        const ranges = counts.map((c) =>
          list(r, c, 12, () => ({ rowGroup: r.u32be(), first: r.u32be(), rows: r.u32be() })),
        );
        return { partition, stacks: headers, ranges };
      }
      const headers = list(r, stacks, 64, () => readStackHeader(r));
      const tables = list(r, 4, 32, (): TableHeader => {
        const t = {
          offset: r.size64be(),
          size: r.u32be(),
          crc: r.u32be(),
          length: r.u32be(),
          blockSize: r.u32be(),
          headerSize: r.u16be(),
          format: r.u16be(),
        };
        r.requireBytes(4);
        return t;
      });
      return { partition, stacks: headers, tables };
    });
    return { version, reserved, partitions };
  } catch (err) {
    if (err instanceof ShortRead) throw new CorruptError(file, err.at, err.message, { cause: err });
    throw err;
  }
}

/** Encodes an index section of any version. */
export function encodeIndex(index: SymdbIndex, out: ByteWriter): void {
  const start = out.length;
  const body = new ByteWriter(1024);
  if (index.version !== 1) body.u32be(index.partitions.length);
  for (const p of index.partitions) {
    if (index.version !== 1) {
      body.u64be(p.partition);
      body.u32be(p.stacks.length);
    }
    if (index.version === 2) for (const r of p.ranges!) body.u32be(r.length);
    for (const s of p.stacks) writeStackHeader(body, s);
    if (index.version === 2)
      for (const ranges of p.ranges!)
        for (const r of ranges) {
          body.u32be(r.rowGroup);
          body.u32be(r.first);
          body.u32be(r.rows);
        }
    if (index.version === 3) {
      for (const t of p.tables!) {
        body.u64be(BigInt(t.offset));
        body.u32be(t.size);
        body.u32be(t.crc);
        body.u32be(t.length);
        body.u32be(t.blockSize);
        body.u16be(t.headerSize);
        body.u16be(t.format);
        body.u32be(0);
      }
    }
  }
  out.u32be(MAGIC);
  out.u32be(index.version);
  out.u64be(index.reserved);
  out.u64be(BigInt(body.length));
  out.u64be(32n);
  out.bytes(body.finish());
  out.u32be(crc32c(out.buffer, start, out.length));
}

/** Appends the footer of `symbols.symdb`, which has the offset of the index section. */
export function encodeFooter(indexOffset: number, out: ByteWriter): void {
  const at = out.length;
  out.u32be(MAGIC);
  out.u32be(3);
  out.u64be(BigInt(indexOffset));
  out.u32be(0);
  out.u32be(crc32c(out.buffer, at, out.length));
}

/** Offset of the index section, from the last 24 bytes of `symbols.symdb`. */
export function decodeFooter(bytes: Uint8Array, file: string): number {
  const r = new ByteReader(bytes);
  try {
    if (r.u32be() !== MAGIC) throw new ShortRead(0, "expected the magic sym1");
    const version = r.u32be();
    if (version !== 3) throw new ShortRead(4, `expected version 3, found ${version}`);
    const offset = r.size64be();
    r.u32be();
    if (crc32c(bytes, 0, 20) !== r.u32be())
      throw new ShortRead(20, "expected the CRC of the footer to match");
    return offset;
  } catch (err) {
    if (err instanceof ShortRead) throw new CorruptError(file, err.at, err.message, { cause: err });
    throw err;
  }
}
