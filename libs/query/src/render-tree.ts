import { ByteWriter, compareBytes } from "@cinderblock/bytes";
import type { PartialTree } from "./tree.ts";

/** A tree ready to be shown: siblings by name, `other` last, cut to a number of nodes. */
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

/** Sums up, orders siblings by name and folds what is below the `maxNodes` largest nodes into `other` (0: nothing). */
export function finalTree(t: PartialTree, maxNodes: number): FinalTree {
  const n = t.parent.length;
  const total = t.self.slice();
  if (t.folded) for (let i = 0; i < n; i++) total[i]! += t.folded[i]!;
  for (let i = n - 1; i > 0; i--) total[t.parent[i]!]! += total[i]!;
  const minimum = !t.folded && maxNodes > 0 && n - 1 > maxNodes ? nthLargest(total, maxNodes) : undefined;

  // Kept nodes get their own name; the rest of each parent becomes one more node.
  const keep = new Uint8Array(n);
  let extra = 0;
  const folded = t.folded ?? (minimum === undefined ? undefined : new BigInt64Array(n));
  if (t.folded) for (let i = 0; i < n; i++) if (t.folded[i] !== 0n) extra++;
  for (let i = 0; i < n; i++) {
    if (i === 0 || minimum === undefined || (keep[t.parent[i]!] === 1 && total[i]! >= minimum)) { keep[i] = 1; continue; }
    const p = t.parent[i]!;
    if (keep[p] === 1) { if (folded![p] === 0n) extra++; folded![p]! += total[i]!; }
  }
  const rank = nameRanks(t);
  let count = 0;
  for (let i = 1; i < n; i++) count += keep[i]!;
  // Sort by (parent, rank): one native sort of doubles while both fit, `other` behind all names.
  const names = t.nameOffset.length - 1;
  const keys = new Float64Array(count);
  const at = new Uint32Array(count);
  let k = 0;
  for (let i = 1; i < n; i++) if (keep[i] === 1) at[k++] = i;
  const nodes = count + extra + 1;
  const childStart = new Uint32Array(nodes), childEnd = new Uint32Array(nodes), children = new Uint32Array(nodes);
  const name = new Uint32Array(nodes), outTotal = new BigInt64Array(nodes), outSelf = new BigInt64Array(nodes);
  // Children of one parent by rank: bucket by parent first (parents precede children), then sort inside each bucket.
  const size = new Uint32Array(n + 1);
  for (let j = 0; j < count; j++) size[t.parent[at[j]!]! + 1]!++;
  for (let i = 0; i < n; i++) size[i + 1]! += size[i]!;
  const cursor = size.slice();
  const byParent = new Uint32Array(count);
  for (let j = 0; j < count; j++) byParent[cursor[t.parent[at[j]!]!]!++] = at[j]!;
  for (let i = 0; i < n; i++) {
    const from = size[i]!, to = size[i + 1]!;
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
  let bytes = t.nameBytes, offset = t.nameOffset;
  if (extra > 0) {
    bytes = new Uint8Array(t.nameBytes.length + OTHER.length);
    bytes.set(t.nameBytes);
    bytes.set(OTHER, t.nameBytes.length);
    offset = new Uint32Array(names + 2);
    offset.set(t.nameOffset);
    offset[names + 1] = bytes.length;
  }
  return { names: { bytes, offset }, name, childStart, childEnd, children, total: outTotal, self: outSelf, nodes };
}

function nthLargest(total: BigInt64Array, n: number): bigint {
  // Doubles sort natively; they are exact below 2^53, and the root holds the largest total.
  if (total[0]! > EXACT) { const sorted = total.slice(1).sort(); return sorted[Math.max(0, sorted.length - n)]!; }
  const words = new Uint32Array(total.buffer, total.byteOffset, total.length * 2);
  const sorted = new Float64Array(total.length - 1);
  for (let i = 1; i < total.length; i++) sorted[i - 1] = words[2 * i + 1]! * 4294967296 + words[2 * i]!;
  sorted.sort();
  return BigInt(sorted[Math.max(0, sorted.length - n)]!);
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

/** querier.v1's compact tree: pre-order, children last to first; name, self, number of children. */
export function encodeTreeBytes(t: FinalTree): Uint8Array {
  if (t.nodes === 1) return new Uint8Array(0);
  const out = new ByteWriter(t.nodes * 24);
  const stack = [0];
  const { bytes, offset } = t.names;
  while (stack.length > 0) {
    const node = stack.pop()!;
    const from = node === 0 ? 0 : offset[t.name[node]!]!, to = node === 0 ? 0 : offset[t.name[node]! + 1]!;
    out.uvarint(to - from);
    out.bytes(bytes.subarray(from, to));
    out.uvarint64(t.self[node]!);
    const a = t.childStart[node]!, b = t.childEnd[node]!;
    out.uvarint(b - a);
    for (let k = a; k < b; k++) stack.push(t.children[k]!);
  }
  return out.take();
}

/** Flame graph levels as v1 lays them out: node -> its level and place, names numbered last sibling first. */
export interface FlameLevels {
  /** name number -> bytes; 0 is `total` */
  names: Uint8Array[];
  /** levels of numbers, `width` for each bar, in ascending x */
  levels: (number | bigint)[][];
  total: bigint;
  maxSelf: bigint;
}

/** Totals and selves as doubles, or undefined when the largest is not exact. */
function asDoubles(v: BigInt64Array, exact: boolean): Float64Array | undefined {
  if (!exact) return undefined;
  const words = new Int32Array(v.buffer, v.byteOffset, v.length * 2);
  const out = new Float64Array(v.length);
  for (let i = 0; i < v.length; i++) out[i] = words[2 * i + 1]! * 4294967296 + (words[2 * i]! >>> 0);
  return out;
}

/** Single flame graph: (x delta, total, self, name) for each bar. Numbers where all are exact, BigInt otherwise. */
export function flameLevels(t: FinalTree): FlameLevels {
  const exact = t.total[0]! <= EXACT;
  const totals = asDoubles(t.total, exact) ?? t.total, selves = asDoubles(t.self, exact) ?? t.self;
  const n = t.nodes;
  const names: Uint8Array[] = [Buffer.from("total")];
  const number = new Int32Array(t.names.offset.length).fill(-1);
  // Depth first, last sibling first: that order numbers the names. Each level collects its bars from right to left.
  const bars: number[][] = [];
  const x = exact ? new Float64Array(n) : new BigInt64Array(n);
  const nameOf = new Uint32Array(n);
  const stack = new Uint32Array(n), depth = new Uint32Array(n);
  let top = 1;
  let maxSelf = 0n;
  for (let i = 0; i < n; i++) if (t.self[i]! > maxSelf) maxSelf = t.self[i]!;
  while (top > 0) {
    const node = stack[--top]!, level = depth[top]!;
    if (node !== 0) {
      const own = t.name[node]!;
      let name = number[own]!;
      if (name < 0) { number[own] = name = names.length; names.push(t.names.bytes.subarray(t.names.offset[own]!, t.names.offset[own + 1]!)); }
      nameOf[node] = name;
    }
    const l = bars[level];
    if (l) l.push(node); else bars[level] = [node];
    let at = (x[node] as number) + (selves[node] as number);
    for (let k = t.childStart[node]!; k < t.childEnd[node]!; k++) {
      const child = t.children[k]!;
      x[child] = at as never;
      stack[top] = child;
      depth[top++] = level + 1;
      at = at + (totals[child] as number);
    }
  }
  const levels = bars.map((l) => {
    const out: (number | bigint)[] = new Array(l.length * 4);
    let end = (exact ? 0 : 0n) as number, o = 0;
    for (let i = l.length - 1; i >= 0; i--) {
      const node = l[i]!;
      out[o++] = (x[node] as number) - end;
      out[o++] = totals[node]!;
      out[o++] = selves[node]!;
      out[o++] = nameOf[node]!;
      end = (x[node] as number) + (totals[node] as number);
    }
    return out;
  });
  return { names, levels, total: t.total[0]!, maxSelf };
}

/** Double flame graph: (x, total, self) of the left, of the right, then the name; nodes of both trees by name. */
export function diffLevels(left: FinalTree, right: FinalTree): FlameLevels & { leftTotal: bigint; rightTotal: bigint } {
  const names: Uint8Array[] = [Buffer.from("total")];
  const number = new Map<string, number>();
  const text = (t: FinalTree, node: number): Buffer => Buffer.from(t.names.bytes.buffer, t.names.bytes.byteOffset + t.names.offset[t.name[node]!]!, t.names.offset[t.name[node]! + 1]! - t.names.offset[t.name[node]!]!);
  const place: { xl: bigint[]; xr: bigint[]; l: number[]; r: number[]; name: number[] }[] = [];
  const stack: { l: number; r: number; xl: bigint; xr: bigint; level: number }[] = [{ l: 0, r: 0, xl: 0n, xr: 0n, level: 0 }];
  let maxSelf = 0n;
  const totalOf = (t: FinalTree, n: number): bigint => (n < 0 ? 0n : t.total[n]!);
  const selfOf = (t: FinalTree, n: number): bigint => (n < 0 ? 0n : t.self[n]!);
  while (stack.length > 0) {
    const { l, r, xl, xr, level } = stack.pop()!;
    let name = 0;
    if (level > 0) {
      const bytes = l >= 0 ? text(left, l) : text(right, r);
      const key = bytes.toString("latin1");
      const known = number.get(key);
      if (known === undefined) { name = names.length; number.set(key, name); names.push(bytes); } else name = known;
    }
    const ls = selfOf(left, l), rs = selfOf(right, r);
    if (ls > maxSelf) maxSelf = ls;
    if (rs > maxSelf) maxSelf = rs;
    const p = (place[level] ??= { xl: [], xr: [], l: [], r: [], name: [] });
    p.xl.push(xl); p.xr.push(xr); p.l.push(l); p.r.push(r); p.name.push(name);
    let al = xl + ls, ar = xr + rs;
    let i = l < 0 ? 0 : left.childStart[l]!, j = r < 0 ? 0 : right.childStart[r]!;
    const ie = l < 0 ? 0 : left.childEnd[l]!, je = r < 0 ? 0 : right.childEnd[r]!;
    while (i < ie || j < je) {
      const order = i >= ie ? 1 : j >= je ? -1 : compareSiblings(left, left.children[i]!, right, right.children[j]!, text);
      const cl = order <= 0 ? left.children[i++]! : -1, cr = order >= 0 ? right.children[j++]! : -1;
      stack.push({ l: cl, r: cr, xl: al, xr: ar, level: level + 1 });
      al += totalOf(left, cl);
      ar += totalOf(right, cr);
    }
  }
  const wide = left.total[0]! + right.total[0]! > EXACT;
  const out = (v: bigint): number | bigint => (wide ? v : Number(v));
  const levels = place.map((p) => {
    const row: (number | bigint)[] = [];
    let el = 0n, er = 0n;
    for (let i = p.name.length - 1; i >= 0; i--) {
      const tl = totalOf(left, p.l[i]!), tr = totalOf(right, p.r[i]!);
      row.push(out(p.xl[i]! - el), out(tl), out(selfOf(left, p.l[i]!)), out(p.xr[i]! - er), out(tr), out(selfOf(right, p.r[i]!)), p.name[i]!);
      el = p.xl[i]! + tl;
      er = p.xr[i]! + tr;
    }
    return row;
  });
  return { names, levels, total: left.total[0]! + right.total[0]!, maxSelf, leftTotal: left.total[0]!, rightTotal: right.total[0]! };
}

/** Siblings are in name order, except that a folded `other` comes last. */
function compareSiblings(left: FinalTree, a: number, right: FinalTree, b: number, text: (t: FinalTree, n: number) => Buffer): number {
  const x = text(left, a), y = text(right, b);
  const d = Buffer.compare(x, y);
  if (d === 0) return 0;
  const lastA = x.equals(OTHER) && left.childStart[a] === left.childEnd[a], lastB = y.equals(OTHER) && right.childStart[b] === right.childEnd[b];
  if (lastA !== lastB) return lastA ? 1 : -1;
  return d;
}
