import { ByteReader, ByteWriter, crc32c, ShortRead } from "@cinderblock/bytes";
import { CorruptError } from "@cinderblock/errors";

/**
 * Position and shape of one stack tree: 64 bytes in an index of each version, big endian.
 *
 *    0        8      16          24      26  27         28      32
 *    | offset | size | partition | block | 0 | encoding | 0 <4> | stacktraces |
 *    | u64    | u64  | u64       | u16   |   | u8 = 1   |       | u32         |
 *    36      40          44                48       60       64
 *    | nodes | max depth | nodes per block | 0 <12> | crc32c |
 *    | u32   | u32       | u32             |        | u32    |
 */
export interface StackBlockHeader {
  /** bytes from the start of `stacktraces.symdb` (v1, v2) or of `symbols.symdb` (v3) */
  offset: number;
  size: number;
  partition: bigint;
  /** number of the tree in its partition in v1; current writers have one tree and write 0 */
  blockIndex: number;
  /** number of distinct stacks; informative, 0 in old files */
  stacktraces: number;
  /** number of nodes including the root: the decoder reads exactly this many */
  nodes: number;
  /** always 0 */
  maxDepth: number;
  /** size of each tree's ID range: stacktrace ID = tree * maxNodes + node; never 0 */
  maxNodes: number;
  /** crc32c of the tree's bytes */
  crc: number;
}
/**
 * Range of rows in `symbols/<table>.parquet` (v2): 12 bytes, three u32. A partition's table is the
 * concatenation of its ranges.
 */
export interface RowRange {
  rowGroup: number;
  /** first row, counted from the start of the row group */
  first: number;
  rows: number;
}
/**
 * Position and shape of one table of a v3 file: 32 bytes in the index section, big endian.
 *
 *    0        8      12       16      20          24          26       28             32
 *    | offset | size | crc32c | items | items per | size of a | format | 4 zero bytes |
 *    | u64    | u32  | u32    | u32   | block u32 | header u16| u16    |              |
 */
export interface TableHeader {
  offset: number;
  size: number;
  /** crc32c of all bytes of the table, in addition to the one in each block header */
  crc: number;
  /** number of items in all blocks */
  length: number;
  /** items per block: 1,024 in files of current writers */
  blockSize: number;
  /** bytes of each block header, including its crc32c; a larger value means fields that this reader skips */
  headerSize: number;
  /** TABLE_FORMAT of the table */
  format: number;
}

/** Index entry of one symbol partition: its stack trees and, from version 2 on, its tables. */
export interface PartitionIndex {
  partition: bigint;
  stacks: StackBlockHeader[];
  /**
   * version 2, [4][ranges]: row ranges in the tables of locations, mappings, functions, strings, in this
   * order
   */
  ranges?: RowRange[][];
  /** version 3, [4]: headers of the tables of locations, mappings, functions, strings, in this order */
  tables?: TableHeader[];
}

/**
 * Decoded index section. Version 1 lists only trees, because its four tables are shared by all partitions.
 */
export interface SymdbIndex {
  version: 1 | 2 | 3;
  /**
   * 8 bytes after the version: 0 today; kept, because older writers left other values and the CRC covers them
   */
  reserved: bigint;
  /** in file order; ascending IDs in files of current writers */
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

// Refuses a count before the allocation: `size` is the minimum size of an entry in bytes.
function list<T>(r: ByteReader, count: number, size: number, read: () => T): T[] {
  if (count * size > r.left)
    throw new ShortRead(r.pos, `expected ${count} entries of ${size} bytes, ${r.left} bytes left`);
  return Array.from({ length: count }, read);
}

/**
 * Decodes an index section: `index.symdb`, or the part of `symbols.symdb` before the footer.
 *
 *    0        4         8          16     24            32        32 + size
 *    | "sym1" | version | reserved | size | offset (32) | content | crc32c of all before |
 *    | u32    | u32     | 8 bytes  | u64  | u64         |         | u32                  |
 *
 * Integers are big endian. In the table of contents the size precedes the offset.
 * @throws CorruptError for a wrong magic, version, CRC or encoding, and for counts that exceed the bytes
 */
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
      // Version 1 has no partition records: consecutive trees with the same ID form one.
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

/**
 * Appends an index section of any version; `ranges` or `tables` must be present as the version requires. The
 * content's offset is relative to the section, so that one encoder suits a file of its own and
 * `symbols.symdb`.
 */
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

/**
 * Appends the footer of `symbols.symdb`, 24 bytes, big endian.
 *
 *    0        4             8                             16      20
 *    | "sym1" | version = 3 | offset of the index section | 0     | crc32c of the 20 bytes before |
 *    | u32    | u32         | u64, from the file's start  | u32   | u32                           |
 */
export function encodeFooter(indexOffset: number, out: ByteWriter): void {
  const at = out.length;
  out.u32be(MAGIC);
  out.u32be(3);
  out.u64be(BigInt(indexOffset));
  out.u32be(0);
  out.u32be(crc32c(out.buffer, at, out.length));
}

/**
 * Offset of the index section in bytes, from the last 24 bytes of `symbols.symdb`.
 * @throws CorruptError for a wrong magic, a version other than 3, or a wrong CRC
 */
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
