/**
 * A call tree as sent by the server (cinderblock.explore.v1.CallTreeResponse): node 0 is the root, and
 * parents precede their children. Values are doubles: the decoder refuses values above 2^53.
 */
export interface CallTree {
  names: string[];
  /** node -> parent; the root's parent is 0 */
  parent: Uint32Array;
  /** node -> index of its name */
  name: Uint32Array;
  self: Float64Array;
  /** node -> sum and number of the children that the server cut off */
  folded: Float64Array;
  foldedCount: Uint32Array;
  /** values of the baseline in a comparison */
  base: { self: Float64Array; folded: Float64Array; total: number } | undefined;
  total: number;
  /** nodes before the cut */
  nodes: number;
}

/** A protobuf cursor with the operations for a message of packed columns. */
class Reader {
  at: number;
  readonly bytes: Uint8Array;
  readonly end: number;
  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** A varint as a double. @throws above 2^53, and at the end of the bytes */
  varint(): number {
    let value = 0,
      scale = 1;
    for (;;) {
      if (this.at >= this.end) throw new Error(`the response ends inside a number, at byte ${this.at}`);
      const b = this.bytes[this.at++]!;
      value += (b & 127) * scale;
      if (b < 128) break;
      scale *= 128;
    }
    if (value > Number.MAX_SAFE_INTEGER)
      throw new Error(`a value of ${value} is above 2^53 and cannot be shown exactly`);
    return value;
  }

  /** Range [start, end) of the content of a length-delimited field. */
  chunk(): Reader {
    const length = this.varint(),
      from = this.at;
    if (from + length > this.end)
      throw new Error(`the field at byte ${from} has ${length} bytes, more than the rest of the response`);
    this.at += length;
    return new Reader(this.bytes, from, this.at);
  }
}

function column<T extends Uint32Array | Float64Array>(r: Reader, make: (n: number) => T): T {
  let n = 0;
  for (let i = r.at; i < r.end; i++) if (r.bytes[i]! < 128) n++;
  const out = make(n);
  for (let i = 0; i < n; i++) out[i] = r.varint();
  return out;
}
const u32 = (n: number): Uint32Array => new Uint32Array(n);
const f64 = (n: number): Float64Array => new Float64Array(n);

/** Decodes cinderblock.explore.v1.CallTreeResponse. @throws for other bytes */
export function decodeCallTree(bytes: Uint8Array): CallTree {
  const r = new Reader(bytes),
    text = new TextDecoder();
  const names: string[] = [];
  const words: Record<number, Uint32Array> = {},
    values: Record<number, Float64Array> = {},
    single: Record<number, number> = {};
  while (r.at < r.end) {
    const tag = r.varint(),
      field = Math.floor(tag / 8);
    if (tag % 8 === 0) {
      single[field] = r.varint();
      continue;
    }
    if (tag % 8 !== 2)
      throw new Error(`field ${field} has wire type ${tag % 8}, which a call tree does not use`);
    const c = r.chunk();
    if (field === 1) names.push(text.decode(bytes.subarray(c.at, c.end)));
    else if (field === 2 || field === 3 || field === 6) words[field] = column(c, u32);
    else values[field] = column(c, f64);
  }
  const parent = words[2] ?? u32(1),
    n = parent.length;
  const tree: CallTree = {
    names: names.length > 0 ? names : [""],
    parent,
    name: words[3] ?? u32(n),
    self: values[4] ?? f64(n),
    folded: values[5] ?? f64(n),
    foldedCount: words[6] ?? u32(n),
    base: values[7] ? { self: values[7], folded: values[8] ?? f64(n), total: single[10] ?? 0 } : undefined,
    total: single[9] ?? 0,
    nodes: single[11] ?? n,
  };
  for (const c of [
    tree.name,
    tree.self,
    tree.folded,
    tree.foldedCount,
    ...(tree.base ? [tree.base.self, tree.base.folded] : []),
  ])
    if (c.length !== n) throw new Error(`a column has ${c.length} values for ${n} nodes`);
  for (let i = 1; i < n; i++)
    if (parent[i]! >= i || tree.name[i]! >= tree.names.length)
      throw new Error(`node ${i} refers to a parent or function that does not exist`);
  return tree;
}

/** Decodes the two trees of cinderblock.explore.v1.FunctionNeighboursResponse. */
export function decodeNeighbors(bytes: Uint8Array): { callers: CallTree; callees: CallTree } {
  const r = new Reader(bytes),
    found: Record<number, CallTree> = {};
  while (r.at < r.end) {
    const field = Math.floor(r.varint() / 8),
      c = r.chunk();
    found[field] = decodeCallTree(bytes.subarray(c.at, c.end));
  }
  const none = (): CallTree => decodeCallTree(new Uint8Array(0));
  return { callers: found[1] ?? none(), callees: found[2] ?? none() };
}

/**
 * Converts a flame graph of Pyroscope v1 (querier.v1.FlameGraph, a flamebearer) to a call tree. A bar has
 * four numbers; in a comparison it has seven, with the left side (the baseline) before the right. Its folded
 * `other` leaves count as cut off, with an unknown number of calls.
 */
export function callTreeOfLevels(
  names: readonly string[],
  levels: readonly (readonly number[])[],
  double = false,
): CallTree {
  const width = double ? 7 : 4;
  const parent: number[] = [],
    name: number[] = [],
    self: number[] = [],
    folded: number[] = [],
    baseSelf: number[] = [],
    baseFolded: number[] = [];
  // Bars of the previous level with their end positions; in a comparison, positions cover both sides.
  let above: { end: number; node: number }[] = [];
  levels.forEach((row, level) => {
    const here: typeof above = [];
    let x = 0,
      up = 0;
    for (let i = 0; i + width - 1 < row.length; i += width) {
      const [delta, total, own] = double
        ? [row[i]! + row[i + 3]!, row[i + 4]!, row[i + 5]!]
        : [row[i]!, row[i + 1]!, row[i + 2]!];
      const baseTotal = double ? row[i + 1]! : 0,
        baseOwn = double ? row[i + 2]! : 0,
        text = row[i + width - 1]!;
      x += delta;
      const end = x + total + baseTotal;
      while (up < above.length - 1 && above[up]!.end <= x) up++;
      const p = level === 0 ? 0 : above[up]!.node;
      if (level > 0 && names[text] === "other" && total === own && baseTotal === baseOwn) {
        folded[p]! += total;
        baseFolded[p]! += baseTotal;
      } else {
        here.push({ end, node: parent.length });
        parent.push(p);
        name.push(level === 0 ? 0 : text);
        self.push(own);
        folded.push(0);
        baseSelf.push(baseOwn);
        baseFolded.push(0);
      }
      x = end;
    }
    above = here;
  });
  if (parent.length === 0) return decodeCallTree(new Uint8Array(0));
  const first = levels[0] ?? [];
  return {
    names: ["", ...names.slice(1)],
    parent: Uint32Array.from(parent),
    name: Uint32Array.from(name),
    self: Float64Array.from(self),
    folded: Float64Array.from(folded),
    foldedCount: Uint32Array.from(folded, (v, i) => (v > 0 || baseFolded[i]! > 0 ? 1 : 0)),
    base: double
      ? { self: Float64Array.from(baseSelf), folded: Float64Array.from(baseFolded), total: first[1] ?? 0 }
      : undefined,
    total: (double ? first[4] : first[1]) ?? 0,
    nodes: parent.length,
  };
}
