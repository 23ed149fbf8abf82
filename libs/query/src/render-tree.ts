import { ByteWriter, compareBytes } from "@cinderblock/bytes";
import { ByteStrings, nthLargest } from "@cinderblock/columnar";
import type { PartialTree } from "./tree.ts";

/** A tree ready to display: siblings by name, `other` last, cut to a number of nodes. */
export interface FinalTree {
  names: { bytes: Uint8Array; offset: Uint32Array };
  /** node -> name; the root is node 0 */
  name: Uint32Array;
  /** node -> children [childStart, childEnd) in `children` */
  childStart: Uint32Array;
  childEnd: Uint32Array;
  children: Uint32Array;
  total: BigInt64Array;
  self: BigInt64Array;
  nodes: number;
}

const OTHER = Buffer.from("other");
const EXACT = 9007199254740991n;

/**
 * Computes totals, orders siblings by name, and folds nodes below the `maxNodes` largest into `other` (0:
 * folds nothing).
 */
export function finalTree(t: PartialTree, maxNodes: number): FinalTree {
  const n = t.parent.length;
  const total = t.self.slice();
  if (t.folded) for (let i = 0; i < n; i++) total[i]! += t.folded[i]!;
  for (let i = n - 1; i > 0; i--) total[t.parent[i]!]! += total[i]!;
  const minimum =
    !t.folded && maxNodes > 0 && n - 1 > maxNodes ? nthLargestTotal(total, maxNodes) : undefined;

  // Kept nodes get their own name; the other children of each parent become one more node.
  const keep = new Uint8Array(n);
  let extra = 0;
  const folded = t.folded ?? (minimum === undefined ? undefined : new BigInt64Array(n));
  if (t.folded) for (let i = 0; i < n; i++) if (t.folded[i] !== 0n) extra++;
  for (let i = 0; i < n; i++) {
    if (i === 0 || minimum === undefined || (keep[t.parent[i]!] === 1 && total[i]! >= minimum)) {
      keep[i] = 1;
      continue;
    }
    const p = t.parent[i]!;
    if (keep[p] === 1) {
      if (folded![p] === 0n) extra++;
      folded![p]! += total[i]!;
    }
  }
  const rank = nameRanks(t);
  let count = 0;
  for (let i = 1; i < n; i++) count += keep[i]!;
  // Sort by (parent, rank): one native sort of doubles if both fit into one; `other` follows all names.
  const names = t.nameOffset.length - 1;
  const keys = new Float64Array(count);
  const at = new Uint32Array(count);
  let k = 0;
  for (let i = 1; i < n; i++) if (keep[i] === 1) at[k++] = i;
  const nodes = count + extra + 1;
  const childStart = new Uint32Array(nodes),
    childEnd = new Uint32Array(nodes),
    children = new Uint32Array(nodes);
  const name = new Uint32Array(nodes),
    outTotal = new BigInt64Array(nodes),
    outSelf = new BigInt64Array(nodes);
  // Order children of one parent by rank: bucket by parent first (parents precede children), then sort each
  // bucket.
  const size = new Uint32Array(n + 1);
  for (let j = 0; j < count; j++) size[t.parent[at[j]!]! + 1]!++;
  for (let i = 0; i < n; i++) size[i + 1]! += size[i]!;
  const cursor = size.slice();
  const byParent = new Uint32Array(count);
  for (let j = 0; j < count; j++) byParent[cursor[t.parent[at[j]!]!]!++] = at[j]!;
  for (let i = 0; i < n; i++) {
    const from = size[i]!,
      to = size[i + 1]!;
    if (to - from < 2) continue;
    for (let j = from; j < to; j++) keys[j] = rank[t.name[byParent[j]!]!]! * 4294967296 + byParent[j]!;
    const part = keys.subarray(from, to).sort();
    for (let j = from; j < to; j++) byParent[j] = part[j - from]! % 4294967296;
  }
  const newId = new Uint32Array(n);
  let next = 1;
  for (let i = 0; i < n; i++) if (i > 0 && keep[i] === 1) newId[i] = next++;
  let childAt = 0;
  for (let i = 0; i < n; i++) {
    if (keep[i] === 0) continue;
    const id = newId[i]!;
    name[id] = t.name[i]!;
    outTotal[id] = total[i]!;
    outSelf[id] = t.self[i]!;
    childStart[id] = childAt;
    for (let j = size[i]!; j < size[i + 1]!; j++) children[childAt++] = newId[byParent[j]!]!;
    if (folded && folded[i] !== 0n) {
      name[next] = names;
      outTotal[next] = outSelf[next] = folded[i]!;
      children[childAt++] = next++;
    }
    childEnd[id] = childAt;
  }
  let bytes = t.nameBytes,
    offset = t.nameOffset;
  if (extra > 0) {
    bytes = new Uint8Array(t.nameBytes.length + OTHER.length);
    bytes.set(t.nameBytes);
    bytes.set(OTHER, t.nameBytes.length);
    offset = new Uint32Array(names + 2);
    offset.set(t.nameOffset);
    offset[names + 1] = bytes.length;
  }
  return {
    names: { bytes, offset },
    name,
    childStart,
    childEnd,
    children,
    total: outTotal,
    self: outSelf,
    nodes,
  };
}

function nthLargestTotal(total: BigInt64Array, n: number): bigint {
  // Doubles are faster, and exact below 2^53; the root has the largest total.
  if (total[0]! > EXACT) {
    const sorted = total.slice(1).sort();
    return sorted[Math.max(0, sorted.length - n)]!;
  }
  const words = new Uint32Array(total.buffer, total.byteOffset, total.length * 2);
  const totals = new Float64Array(total.length - 1);
  for (let i = 1; i < total.length; i++) totals[i - 1] = words[2 * i + 1]! * 4294967296 + words[2 * i]!;
  return BigInt(nthLargest(totals, n));
}

function nameRanks(t: PartialTree): Uint32Array {
  const n = t.nameOffset.length - 1;
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  const { nameBytes: b, nameOffset: o } = t;
  order.sort((x, y) => compareBytes(b, o[x]!, o[x + 1]!, b, o[y]!, o[y + 1]!));
  const rank = new Uint32Array(n);
  for (let i = 0; i < n; i++) rank[order[i]!] = i;
  return rank;
}

/** Encodes querier.v1's compact tree: pre-order, children last to first; name, self, number of children. */
export function encodeTreeBytes(t: FinalTree): Uint8Array {
  if (t.nodes === 1) return new Uint8Array(0);
  const out = new ByteWriter(t.nodes * 24);
  const stack = [0];
  const { bytes, offset } = t.names;
  while (stack.length > 0) {
    const node = stack.pop()!;
    const from = node === 0 ? 0 : offset[t.name[node]!]!,
      to = node === 0 ? 0 : offset[t.name[node]! + 1]!;
    out.uvarint(to - from);
    out.bytes(bytes.subarray(from, to));
    out.uvarint64(t.self[node]!);
    const a = t.childStart[node]!,
      b = t.childEnd[node]!;
    out.uvarint(b - a);
    for (let k = a; k < b; k++) stack.push(t.children[k]!);
  }
  return out.transferBytes();
}

/** Flame graph levels in v1's layout; names are numbered in depth-first order, last sibling first. */
export interface FlameLevels {
  /** name number -> bytes; 0 is `total` */
  names: Uint8Array[];
  /** levels of numbers, `width` per bar, in ascending x */
  levels: (number | bigint)[][];
  total: bigint;
  maxSelf: bigint;
}

/** Converts totals or self values to doubles; undefined if the largest is not exact. */
function asDoubles(v: BigInt64Array, exact: boolean): Float64Array | undefined {
  if (!exact) return undefined;
  const words = new Int32Array(v.buffer, v.byteOffset, v.length * 2);
  const out = new Float64Array(v.length);
  for (let i = 0; i < v.length; i++) out[i] = words[2 * i + 1]! * 4294967296 + (words[2 * i]! >>> 0);
  return out;
}

/** The largest value; at least 0. */
function largest(values: Float64Array | BigInt64Array): bigint {
  let max: number | bigint = 0;
  for (let i = 0; i < values.length; i++) if (values[i]! > max) max = values[i]!;
  return BigInt(max);
}

/**
 * Levels of a single flame graph: (x delta, total, self, name) for each bar. Numbers if all are exact,
 * otherwise BigInt.
 */
export function flameLevels(t: FinalTree): FlameLevels {
  const exact = t.total[0]! <= EXACT;
  const totals = asDoubles(t.total, exact) ?? t.total,
    selves = asDoubles(t.self, exact) ?? t.self;
  const n = t.nodes;
  const names: Uint8Array[] = [Buffer.from("total")];
  const number = new Int32Array(t.names.offset.length).fill(-1);
  // Number the names depth first, last sibling first. Each level collects its bars from right to left.
  const bars: number[][] = [];
  const x = positions(exact, n);
  const nameOf = new Uint32Array(n);
  const stack = new Uint32Array(n),
    depth = new Uint32Array(n);
  let top = 1;
  while (top > 0) {
    const node = stack[--top]!,
      level = depth[top]!;
    if (node !== 0) {
      const own = t.name[node]!;
      let name = number[own]!;
      if (name < 0) {
        number[own] = name = names.length;
        names.push(t.names.bytes.subarray(t.names.offset[own]!, t.names.offset[own + 1]!));
      }
      nameOf[node] = name;
    }
    const l = bars[level];
    if (l) l.push(node);
    else bars[level] = [node];
    let at = x[node]! + (selves[node] as number);
    for (let k = t.childStart[node]!; k < t.childEnd[node]!; k++) {
      const child = t.children[k]!;
      x[child] = at;
      stack[top] = child;
      depth[top++] = level + 1;
      at = at + (totals[child] as number);
    }
  }
  const zero = (exact ? 0 : 0n) as number;
  const levels = bars.map((level) => flameRow(level, x, totals, selves, nameOf, zero));
  return { names, levels, total: t.total[0]!, maxSelf: largest(selves) };
}

/** The four numbers of each bar of a level; `level` lists the bars from right to left. */
function flameRow(
  level: readonly number[],
  x: Positions,
  totals: Float64Array | BigInt64Array,
  selves: Float64Array | BigInt64Array,
  nameOf: Uint32Array,
  zero: number,
): (number | bigint)[] {
  const out: (number | bigint)[] = new Array(level.length * 4);
  let end = zero,
    o = 0;
  for (let i = level.length - 1; i >= 0; i--) {
    const node = level[i]!;
    out[o++] = x[node]! - end;
    out[o++] = totals[node]!;
    out[o++] = selves[node]!;
    out[o++] = nameOf[node]!;
    end = x[node]! + (totals[node] as number);
  }
  return out;
}

/**
 * Levels of a double flame graph: (x, total, self) of the left side, then of the right side, then the name.
 * Nodes match by name.
 */
export function diffLevels(
  left: FinalTree,
  right: FinalTree,
): FlameLevels & { leftTotal: bigint; rightTotal: bigint } {
  const exact = left.total[0]! + right.total[0]! <= EXACT;
  const shared = new ByteStrings();
  shared.intern(OTHER, 0, OTHER.length);
  const l = diffSide(left, shared, exact),
    r = diffSide(right, shared, exact);
  const capacity = left.nodes + right.nodes;
  // A bar is a node of one tree or of both; -1 on a side without the node.
  const barLeft = new Int32Array(capacity),
    barRight = new Int32Array(capacity),
    barName = new Uint32Array(capacity),
    depth = new Uint32Array(capacity);
  const xLeft = positions(exact, capacity),
    xRight = positions(exact, capacity);
  const zero = (exact ? 0 : 0n) as number;
  const names: Uint8Array[] = [Buffer.from("total")];
  const number = new Int32Array(shared.length).fill(-1);
  const levels: number[][] = [];
  const stack = new Uint32Array(capacity);
  let top = 1,
    count = 1;
  while (top > 0) {
    const bar = stack[--top]!,
      a = barLeft[bar]!,
      b = barRight[bar]!,
      level = depth[bar]!;
    if (bar !== 0) {
      const own = a >= 0 ? l.name[a]! : r.name[b]!;
      let name = number[own]!;
      if (name < 0) {
        number[own] = name = names.length;
        names.push(shared.bytes.data.slice(shared.offset.data[own]!, shared.offset.data[own + 1]!));
      }
      barName[bar] = name;
    }
    const row = levels[level];
    if (row) row.push(bar);
    else levels[level] = [bar];
    let al = xLeft[bar]!,
      ar = xRight[bar]!;
    let i = 0,
      ie = 0,
      j = 0,
      je = 0;
    if (a >= 0) {
      al = al + (l.self[a] as number);
      i = left.childStart[a]!;
      ie = left.childEnd[a]!;
    }
    if (b >= 0) {
      ar = ar + (r.self[b] as number);
      j = right.childStart[b]!;
      je = right.childEnd[b]!;
    }
    while (i < ie || j < je) {
      const order =
        i >= ie ? 1 : j >= je ? -1 : compareSiblings(l, left.children[i]!, r, right.children[j]!, shared);
      const child = count++;
      depth[child] = level + 1;
      xLeft[child] = al;
      xRight[child] = ar;
      barLeft[child] = barRight[child] = -1;
      if (order <= 0) {
        const c = (barLeft[child] = left.children[i++]!);
        al = al + (l.total[c] as number);
      }
      if (order >= 0) {
        const c = (barRight[child] = right.children[j++]!);
        ar = ar + (r.total[c] as number);
      }
      stack[top++] = child;
    }
  }
  const bars = { left: barLeft, right: barRight, name: barName, xLeft, xRight };
  const rows = levels.map((level) => diffRow(level, bars, l, r, zero));
  const a = largest(l.self),
    b = largest(r.self),
    maxSelf = a > b ? a : b;
  return {
    names,
    levels: rows,
    total: left.total[0]! + right.total[0]!,
    maxSelf,
    leftTotal: left.total[0]!,
    rightTotal: right.total[0]!,
  };
}

/** Positions of bars: numbers where those are exact, bigints otherwise; one array never mixes them. */
type Positions = { [bar: number]: number };
function positions(exact: boolean, bars: number): Positions {
  return exact ? new Float64Array(bars) : (new BigInt64Array(bars) as unknown as Positions);
}

/** Bars of a diff: nodes of both sides (-1: none), names and x positions. */
interface DiffBars {
  left: Int32Array;
  right: Int32Array;
  name: Uint32Array;
  xLeft: Positions;
  xRight: Positions;
}

/** The seven numbers of each bar of a level; `level` lists the bars from right to left. */
function diffRow(
  level: readonly number[],
  bars: DiffBars,
  l: DiffSide,
  r: DiffSide,
  zero: number,
): (number | bigint)[] {
  const row: (number | bigint)[] = new Array(level.length * 7);
  let el = zero,
    er = zero,
    o = 0;
  for (let i = level.length - 1; i >= 0; i--) {
    const bar = level[i]!,
      a = bars.left[bar]!,
      b = bars.right[bar]!;
    const tl = (a >= 0 ? l.total[a] : zero) as number,
      tr = (b >= 0 ? r.total[b] : zero) as number;
    row[o++] = bars.xLeft[bar]! - el;
    row[o++] = tl;
    row[o++] = a >= 0 ? l.self[a]! : zero;
    row[o++] = bars.xRight[bar]! - er;
    row[o++] = tr;
    row[o++] = b >= 0 ? r.self[b]! : zero;
    row[o++] = bars.name[bar]!;
    el = bars.xLeft[bar]! + tl;
    er = bars.xRight[bar]! + tr;
  }
  return row;
}

interface DiffSide {
  tree: FinalTree;
  total: Float64Array | BigInt64Array;
  self: Float64Array | BigInt64Array;
  /** node -> ID of its name in the strings shared by both sides */
  name: Uint32Array;
}

function diffSide(tree: FinalTree, shared: ByteStrings, exact: boolean): DiffSide {
  return {
    tree,
    total: asDoubles(tree.total, exact) ?? tree.total,
    self: asDoubles(tree.self, exact) ?? tree.self,
    name: sharedNames(tree, shared),
  };
}

function sharedNames(tree: FinalTree, shared: ByteStrings): Uint32Array {
  const ids = new Int32Array(tree.names.offset.length).fill(-1),
    out = new Uint32Array(tree.nodes);
  const { bytes, offset } = tree.names;
  for (let node = 1; node < tree.nodes; node++) {
    const own = tree.name[node]!;
    let id = ids[own]!;
    if (id < 0) ids[own] = id = shared.intern(bytes, offset[own]!, offset[own + 1]!);
    out[node] = id;
  }
  return out;
}

/** Orders siblings by name; a folded `other` is last. */
function compareSiblings(left: DiffSide, a: number, right: DiffSide, b: number, shared: ByteStrings): number {
  const x = left.name[a]!,
    y = right.name[b]!;
  if (x === y) return 0;
  const lastA = x === 0 && left.tree.childStart[a] === left.tree.childEnd[a],
    lastB = y === 0 && right.tree.childStart[b] === right.tree.childEnd[b];
  if (lastA !== lastB) return lastA ? 1 : -1;
  const bytes = shared.bytes.data,
    offset = shared.offset.data;
  return compareBytes(bytes, offset[x]!, offset[x + 1]!, bytes, offset[y]!, offset[y + 1]!);
}
