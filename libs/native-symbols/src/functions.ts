import { ByteStrings, I32Column, U32Column } from "@cinderblock/columnar";
import { encodeUtf8 } from "@cinderblock/bytes";
import { DebugFileError } from "./elf.ts";

/**
 * Maximum rows of the functions of one debug file: its tables may refer to each other repeatedly, so a small
 * file could claim more than fits into memory.
 */
const MAX_ROWS = 1 << 25;

/**
 * Functions of a file while it is read: functions, places where they were inlined, and their address ranges.
 * Addresses are relative to the file's base and below 4 GiB. Sources append in any order; `buildAddressTable`
 * sorts.
 */
export class FunctionSet {
  readonly strings = new ByteStrings();
  /** [functions] function -> name, file (strings), line of its declaration */
  readonly functionName = new U32Column(256);
  readonly functionFile = new U32Column(256);
  readonly functionLine = new U32Column(256);
  /**
   * [nodes] node -> parent node that it was inlined into (-1: none), its function, and the line of the call
   * in the parent
   */
  readonly nodeParent = new I32Column(256);
  readonly nodeFunction = new U32Column(256);
  readonly nodeCallLine = new U32Column(256);
  /**
   * [ranges] range -> addresses [start, end), node, depth: 0 from a symbol table, 1 and more from better
   * sources
   */
  readonly rangeStart = new U32Column(256);
  readonly rangeEnd = new U32Column(256);
  readonly rangeNode = new U32Column(256);
  readonly rangeDepth = new U32Column(256);
  /** [rows] rows of line tables: address, line; line 0 with `rowEnd` 1 ends a sequence at its address */
  readonly rowAddress = new U32Column(1024);
  readonly rowLine = new U32Column(1024);
  readonly rowEnd = new U32Column(1024);

  constructor() {
    this.strings.intern(new Uint8Array(0), 0, 0);
  }

  /** Index of a text, which is interned; 0 is "". */
  addString(text: string): number {
    const b = encodeUtf8(text);
    return this.strings.intern(b, 0, b.length);
  }

  /** Adds a function; returns its number. Name and file are strings. */
  addFunction(name: number, file: number, line: number): number {
    this.functionFile.push(file);
    this.functionLine.push(line);
    return this.functionName.push(name);
  }

  /** Adds a node of the inline tree; returns its number. */
  addNode(parent: number, func: number, callLine: number): number {
    this.nodeFunction.push(func);
    this.nodeCallLine.push(callLine);
    return this.nodeParent.push(parent);
  }

  /**
   * Adds addresses [start, end) of a node; ignores an empty range. @throws DebugFileError beyond MAX_ROWS
   * ranges
   */
  addRange(start: number, end: number, node: number, depth: number): void {
    if (end <= start) return;
    if (this.rangeStart.length === MAX_ROWS)
      throw new DebugFileError(`expected at most ${MAX_ROWS} function ranges`);
    this.rangeStart.push(start);
    this.rangeEnd.push(end);
    this.rangeNode.push(node);
    this.rangeDepth.push(depth);
  }

  /**
   * Adds a row of a line table: its line counts up to the next row. @throws DebugFileError beyond MAX_ROWS
   * rows
   */
  addRow(address: number, line: number, end: boolean): void {
    if (this.rowAddress.length === MAX_ROWS)
      throw new DebugFileError(`expected at most ${MAX_ROWS} line entries`);
    this.rowAddress.push(address);
    this.rowLine.push(end ? 0 : line);
    this.rowEnd.push(end ? 1 : 0);
  }
}
