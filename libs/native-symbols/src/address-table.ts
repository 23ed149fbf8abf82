import { crc32c, ShortRead } from "@cinderblock/bytes";
import { U32Column } from "@cinderblock/columnar";
import { DebugFileError, type ElfSegment } from "./elf.ts";
import type { FunctionSet } from "./functions.ts";

/**
 * A function at an address; name and file are indices of strings in the table, 0 for "". Lines are from 1, 0
 * if unknown; `line` is that of the address or of the call to the function below.
 */
export interface Frame {
  name: number;
  file: number;
  startLine: number;
  line: number;
}

const MAGIC = 0x59534243; // Magic bytes of an address table: "CBSY".
const VERSION = 1;
/**
 * Header of the encoded table, little endian, u32 unless stated:
 *
 *   0        4             8          12             16               20     24      28
 *   | "CBSY" | version = 1 | segments | string bytes | string offsets | rows | nodes | functions |
 *   32         40
 *   | base u64 | 0 u64 |
 */
const HEAD_BYTES = 48;

/**
 * Maps the addresses of one file to functions; derived from a debug file. Segments do not overlap and ascend
 * by address. Format: docs/formats/address-table.md
 *
 *   row       start (ascending) | node | line                a row reaches to the next one's start
 *   node      parent | function | call line                  a function, or a place where it was inlined
 *   function  name | file | line of its declaration          name and file are strings
 *
 * Node numbers start at 1, and 0 means none. Addresses in rows are relative to `base`, below 4 GiB. A look-up
 * is a binary search and a walk to the root of the inline tree: O(log rows + depth).
 */
export class AddressTable {
  /** lowest mapped address of the file */
  readonly base: bigint;
  readonly segments: readonly ElfSegment[];
  readonly stringBytes: Uint8Array;
  readonly stringOffset: Uint32Array;
  private readonly columns: Columns;

  constructor(
    base: bigint,
    segments: readonly ElfSegment[],
    strings: { bytes: Uint8Array; offset: Uint32Array },
    columns: Columns,
  ) {
    this.base = base;
    this.segments = segments;
    this.stringBytes = strings.bytes;
    this.stringOffset = strings.offset;
    this.columns = columns;
  }

  /** Number of functions. */
  get functions(): number {
    return this.columns.functionName.length;
  }
  /** Size in bytes of strings and columns in memory. */
  get byteLength(): number {
    return (
      this.stringBytes.length +
      4 * (this.stringOffset.length + COLUMNS.reduce((n, c) => n + this.columns[c].length, 0))
    );
  }

  /**
   * Functions at an address of a process, leaf first, including inlined ones; empty if the file has none
   * there.
   *
   *   file offset = address - mapping start + mapping offset        as /proc/<pid>/maps gives them
   *   file address = file offset - segment offset + segment address, for the segment that holds the offset
   *
   * @param mapping location of the file in the process: a start of 0 means that addresses are the file's own
   */
  lookup(address: bigint, mapping: { start: bigint; offset: bigint }): Frame[] {
    let own = address;
    if (mapping.start !== 0n) {
      const at = address - mapping.start + mapping.offset,
        s = this.segments.find((x) => at >= x.offset && at < x.offset + x.fileSize);
      if (!s) return [];
      own = at - s.offset + s.address;
    }
    const relative = own - this.base;
    return relative < 0n || relative > 0xffff_ffffn ? [] : this.framesAt(Number(relative));
  }

  /**
   * Functions at an address relative to the base, leaf first. Each frame but the first has the line of the
   * call in it.
   */
  framesAt(relative: number): Frame[] {
    const {
      start,
      node,
      line,
      nodeParent,
      nodeFunction,
      nodeCallLine,
      functionName,
      functionFile,
      functionLine,
    } = this.columns;
    let low = 0,
      high = start.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (start[middle]! <= relative) low = middle + 1;
      else high = middle;
    }
    const found = low - 1,
      out: Frame[] = [];
    if (found < 0) return out;
    let at = node[found]! - 1,
      own = line[found]!;
    for (; at >= 0; at = nodeParent[at]! - 1) {
      const f = nodeFunction[at]!;
      out.push({ name: functionName[f]!, file: functionFile[f]!, startLine: functionLine[f]!, line: own });
      own = nodeCallLine[at]!;
    }
    return out;
  }

  /**
   * Encodes the table: header, segments of 40 bytes, columns of u32 in the order of COLUMNS, strings, crc32c.
   */
  encode(): Uint8Array {
    const { columns } = this,
      parts = [this.stringOffset, ...COLUMNS.map((c) => columns[c])];
    const out = new Uint8Array(
        HEAD_BYTES +
          this.segments.length * 40 +
          parts.reduce((n, p) => n + 4 * p.length, 0) +
          ((this.stringBytes.length + 3) & ~3) +
          4,
      ),
      view = new DataView(out.buffer);
    [
      MAGIC,
      VERSION,
      this.segments.length,
      this.stringBytes.length,
      this.stringOffset.length,
      columns.start.length,
      columns.nodeParent.length,
      columns.functionName.length,
    ].forEach((v, i) => {
      view.setUint32(4 * i, v, true);
    });
    view.setBigUint64(32, this.base, true);
    let at = HEAD_BYTES;
    for (const s of this.segments) {
      [s.offset, s.address, s.fileSize, s.memorySize, s.executable ? 1n : 0n].forEach((v, i) => {
        view.setBigUint64(at + 8 * i, v, true);
      });
      at += 40;
    }
    for (const p of parts) {
      out.set(new Uint8Array(p.buffer, p.byteOffset, p.byteLength), at);
      at += p.byteLength;
    }
    out.set(this.stringBytes, at);
    view.setUint32(out.length - 4, crc32c(out.subarray(0, out.length - 4)), true);
    return out;
  }

  /**
   * Decodes a table. Columns and strings are views of `bytes`, which must stay unchanged; unaligned bytes are
   * copied first.
   * @throws ShortRead for another magic, version, size or checksum
   */
  static decode(bytes: Uint8Array): AddressTable {
    if (bytes.length < HEAD_BYTES + 4)
      throw new ShortRead(0, `expected a table of at least ${HEAD_BYTES + 4} bytes, found ${bytes.length}`);
    // Columns are views, which must begin at multiples of four.
    const own = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice(),
      view = new DataView(own.buffer, own.byteOffset, own.byteLength);
    if (view.getUint32(0, true) !== MAGIC || view.getUint32(4, true) !== VERSION)
      throw new ShortRead(0, `expected a table of version ${VERSION}`);
    const [segments, textBytes, strings, rows, nodes, functions] = [8, 12, 16, 20, 24, 28].map((p) =>
      view.getUint32(p, true),
    ) as [number, number, number, number, number, number];
    const sizes = [strings, rows, rows, rows, nodes, nodes, nodes, functions, functions, functions],
      need = HEAD_BYTES + segments * 40 + sizes.reduce((n, s) => n + 4 * s, 0) + ((textBytes + 3) & ~3) + 4;
    if (need !== own.length) throw new ShortRead(8, `expected ${need} bytes, found ${own.length}`);
    if (crc32c(own.subarray(0, own.length - 4)) !== view.getUint32(own.length - 4, true))
      throw new ShortRead(own.length - 4, "the checksum does not match the table");
    const list: ElfSegment[] = [];
    let at = HEAD_BYTES;
    for (let i = 0; i < segments; i++, at += 40) {
      const w = [0, 8, 16, 24, 32].map((d) => view.getBigUint64(at + d, true)) as [
        bigint,
        bigint,
        bigint,
        bigint,
        bigint,
      ];
      list.push({ offset: w[0], address: w[1], fileSize: w[2], memorySize: w[3], executable: w[4] === 1n });
    }
    const column = (n: number): Uint32Array => {
      const out = new Uint32Array(own.buffer, own.byteOffset + at, n);
      at += 4 * n;
      return out;
    };
    const offset = column(strings),
      columns = Object.fromEntries(COLUMNS.map((c, i) => [c, column(sizes[i + 1]!)])) as Columns;
    return new AddressTable(
      view.getBigUint64(32, true),
      list,
      { bytes: own.subarray(at, at + textBytes), offset },
      columns,
    );
  }
}

/**
 * Columns in the order of the file: [rows] start, node, line; [nodes] parent, function, call line;
 * [functions] name, file, line. Nodes are numbered from 1, and 0 means none; functions are numbered from 0.
 */
const COLUMNS = [
  "start",
  "node",
  "line",
  "nodeParent",
  "nodeFunction",
  "nodeCallLine",
  "functionName",
  "functionFile",
  "functionLine",
] as const;
type Columns = Record<(typeof COLUMNS)[number], Uint32Array>;

/**
 * Builds the table: the deepest range at an address wins, with the line of its row. O(n log n) of ranges and
 * rows.
 *
 *   ranges   |------ f ------------------|         rows of lines   | 10   | 12   | 31  | 14
 *                |-- g inlined --|
 *   table    | f:10 | g:12 | g:31 | f:14 |          adjacent equal rows become one
 *
 * @throws DebugFileError if the set has no function
 */
export function buildAddressTable(
  set: FunctionSet,
  base: bigint,
  segments: readonly ElfSegment[],
): AddressTable {
  const flat = flatten(set),
    lines = sortedRows(set);
  const start = new U32Column(256),
    node = new U32Column(256),
    line = new U32Column(256);
  const put = (at: number, n: number, l: number): void => {
    const last = start.length - 1;
    if (last >= 0 && node.data[last] === n && line.data[last] === l) return;
    if (last >= 0 && start.data[last] === at) {
      node.data[last] = n;
      line.data[last] = l;
      return;
    }
    start.push(at);
    node.push(n);
    line.push(l);
  };
  let row = 0,
    now = 0;
  // Merge two ascending lists: starts of flat ranges, and rows of lines. `now` is the line at the current
  // address.
  for (let i = 0; i < flat.start.length; i++) {
    const from = flat.start.data[i]!,
      n = flat.node.data[i]!,
      end = flat.start.data[i + 1] ?? from;
    for (; row < lines.length && set.rowAddress.data[lines[row]!]! <= from; row++)
      now = set.rowLine.data[lines[row]!]!;
    put(from, n, n === 0 ? 0 : now);
    if (n !== 0)
      for (; row < lines.length && set.rowAddress.data[lines[row]!]! < end; row++) {
        now = set.rowLine.data[lines[row]!]!;
        put(set.rowAddress.data[lines[row]!]!, n, now);
      }
  }
  if (set.functionName.length === 0)
    throw new DebugFileError(
      "expected function names, found no DWARF data, symbol table or Go table (is the file stripped?)",
    );
  return new AddressTable(
    base,
    segments,
    { bytes: set.strings.bytes.view().slice(), offset: set.strings.offset.view().slice() },
    {
      start: start.view().slice(),
      node: node.view().slice(),
      line: line.view().slice(),
      nodeParent: Uint32Array.from(set.nodeParent.view(), (p) => p + 1),
      nodeFunction: set.nodeFunction.view().slice(),
      nodeCallLine: set.nodeCallLine.view().slice(),
      functionName: set.functionName.view().slice(),
      functionFile: set.functionFile.view().slice(),
      functionLine: set.functionLine.view().slice(),
    },
  );
}

/**
 * Flattens nested ranges to ranges that do not overlap: start -> node + 1, 0 for none. Sorts by start, outer
 * ranges first, and keeps a stack of open ranges.
 */
function flatten(set: FunctionSet): { start: U32Column; node: U32Column } {
  const { rangeStart, rangeEnd, rangeNode, rangeDepth } = set,
    order = Uint32Array.from({ length: rangeStart.length }, (_, i) => i);
  order.sort(
    (a, b) =>
      rangeStart.data[a]! - rangeStart.data[b]! ||
      rangeDepth.data[a]! - rangeDepth.data[b]! ||
      rangeEnd.data[b]! - rangeEnd.data[a]!,
  );
  const start = new U32Column(256),
    node = new U32Column(256),
    stack: number[] = [];
  const put = (at: number, n: number): void => {
    const last = start.length - 1;
    if (last >= 0 && start.data[last] === at) {
      node.data[last] = n;
      return;
    }
    start.push(at);
    node.push(n);
  };
  const close = (upTo: number): void => {
    while (stack.length > 0 && rangeEnd.data[stack.at(-1)!]! <= upTo) {
      const end = rangeEnd.data[stack.pop()!]!;
      while (stack.length > 0 && rangeEnd.data[stack.at(-1)!]! <= end) stack.pop();
      put(end, stack.length > 0 ? rangeNode.data[stack.at(-1)!]! + 1 : 0);
    }
  };
  for (const r of order) {
    close(rangeStart.data[r]!);
    const top = stack.at(-1);
    // A second name for the same addresses, such as a symbol in addition to DWARF, replaces nothing.
    if (top !== undefined && rangeDepth.data[r]! < rangeDepth.data[top]!) continue;
    put(rangeStart.data[r]!, rangeNode.data[r]! + 1);
    stack.push(r);
  }
  close(0xffff_ffff);
  return { start, node };
}

/** Rows ordered by address; ends of sequences precede rows that begin at the same address. */
function sortedRows(set: FunctionSet): Uint32Array {
  const { rowAddress, rowEnd } = set,
    order = Uint32Array.from({ length: rowAddress.length }, (_, i) => i);
  return order.sort(
    (a, b) => rowAddress.data[a]! - rowAddress.data[b]! || rowEnd.data[b]! - rowEnd.data[a]! || a - b,
  );
}
