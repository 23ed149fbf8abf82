import type { CallTree } from "./call-tree.ts";

/**
 * The layout of a call tree: boxes in level order, so that a level is a range of boxes in ascending x.
 *
 *     level 0   [ root                              ]   x runs from 0 to `width[0]`
 *     level 1   [ a           ][ b     ][ cut off ]     children of a box, cut-off children, then its self value
 */
export interface Flame {
  names: string[];
  /**
   * box -> left edge and width; in a comparison, the width is the mean of the shares of both complete sides
   */
  x: Float64Array;
  width: Float64Array;
  total: Float64Array;
  self: Float64Array;
  /** values of the baseline in a comparison */
  baseTotal: Float64Array | undefined;
  baseSelf: Float64Array | undefined;
  /** box -> name; `CUT_OFF_NAME` for cut-off calls */
  name: Uint32Array;
  parent: Uint32Array;
  /** box -> its first child; children are `children[box]` boxes from there */
  firstChild: Uint32Array;
  children: Uint32Array;
  /** box -> number of cut-off calls that it represents; 0 for functions */
  count: Uint32Array;
  /** level -> its first box; one more at the end */
  rowStart: Uint32Array;
  sum: number;
  baseSum: number;
}

/** Name of a box for cut-off children, which is never a function. */
export const CUT_OFF_NAME = 0xffffffff;

/**
 * Lays out the boxes of a tree: siblings by name, cut-off children last.
 * @param whole totals of both complete sides, for the widths of a tree that is only a part of them; default
 * is the tree's own
 */
export function layoutFlame(tree: CallTree, whole?: { sum: number; baseSum: number }): Flame {
  const n = tree.parent.length;
  const total = tree.self.slice(),
    baseTotal = tree.base?.self.slice();
  for (let i = 0; i < n; i++) {
    total[i]! += tree.folded[i]!;
    if (baseTotal) baseTotal[i]! += tree.base!.folded[i]!;
  }
  for (let i = n - 1; i > 0; i--) {
    total[tree.parent[i]!]! += total[i]!;
    if (baseTotal) baseTotal[tree.parent[i]!]! += baseTotal[i]!;
  }
  // Children of each node, ordered by name.
  const order = tree.names.map((_, i) => i).sort((a, b) => (tree.names[a]! < tree.names[b]! ? -1 : 1));
  const rank = new Uint32Array(order.length);
  order.forEach((name, i) => {
    rank[name] = i;
  });
  const start = new Uint32Array(n + 1);
  for (let i = 1; i < n; i++) start[tree.parent[i]! + 1]!++;
  for (let i = 0; i < n; i++) start[i + 1]! += start[i]!;
  const cursor = start.slice(),
    byParent = new Uint32Array(Math.max(0, n - 1));
  for (let i = 1; i < n; i++) byParent[cursor[tree.parent[i]!]!++] = i;
  for (let i = 0; i < n; i++)
    if (start[i + 1]! - start[i]! > 1)
      byParent.subarray(start[i]!, start[i + 1]!).sort((a, b) => rank[tree.name[a]!]! - rank[tree.name[b]!]!);

  let extra = 0;
  const cut = (i: number): boolean => tree.folded[i]! > 0 || (tree.base?.folded[i] ?? 0) > 0;
  for (let i = 0; i < n; i++) if (cut(i)) extra++;
  const size = n + extra;
  const f: Flame = {
    names: tree.names,
    x: new Float64Array(size),
    width: new Float64Array(size),
    total: new Float64Array(size),
    self: new Float64Array(size),
    baseTotal: baseTotal && new Float64Array(size),
    baseSelf: baseTotal && new Float64Array(size),
    name: new Uint32Array(size),
    parent: new Uint32Array(size),
    firstChild: new Uint32Array(size),
    children: new Uint32Array(size),
    count: new Uint32Array(size),
    rowStart: new Uint32Array(0),
    sum: total[0]!,
    baseSum: baseTotal?.[0] ?? 0,
  };
  const { sum, baseSum } = whole ?? f;
  const share = (a: number, b: number): number =>
    baseTotal ? ((sum > 0 ? a / sum : 0) + (baseSum > 0 ? b / baseSum : 0)) / 2 : a;
  const put = (box: number, node: number, x: number): void => {
    f.x[box] = x;
    f.total[box] = total[node]!;
    f.self[box] = tree.self[node]!;
    f.name[box] = tree.name[node]!;
    if (f.baseTotal) {
      f.baseTotal[box] = baseTotal![node]!;
      f.baseSelf![box] = tree.base!.self[node]!;
    }
    f.width[box] = share(total[node]!, baseTotal?.[node] ?? 0);
  };
  put(0, 0, 0);
  // Breadth first: `node[box]` is the box's tree node; -1 for cut-off children.
  const node = new Int32Array(size);
  const rows = [0, 1];
  let next = 1;
  for (let from = 0; from < next; ) {
    const end = next;
    for (let box = from; box < end; box++) {
      f.firstChild[box] = next;
      const own = node[box]!;
      if (own < 0) continue;
      let x = f.x[box]!;
      for (let k = start[own]!; k < start[own + 1]!; k++) {
        node[next] = byParent[k]!;
        put(next, byParent[k]!, x);
        f.parent[next] = box;
        x += f.width[next++]!;
      }
      if (cut(own)) {
        const value = tree.folded[own]!,
          baseValue = tree.base?.folded[own] ?? 0;
        node[next] = -1;
        f.x[next] = x;
        f.name[next] = CUT_OFF_NAME;
        f.total[next] = value;
        if (f.baseTotal) f.baseTotal[next] = baseValue;
        f.width[next] = share(value, baseValue);
        f.count[next] = tree.foldedCount[own]!;
        f.parent[next++] = box;
      }
      f.children[box] = next - f.firstChild[box]!;
    }
    from = end;
    if (next > end) rows.push(next);
  }
  f.rowStart = Uint32Array.from(rows);
  return f;
}

/** Level of a box. */
export function levelOf(f: Flame, box: number): number {
  let lo = 0,
    hi = f.rowStart.length - 2;
  while (lo < hi) {
    const mid = (lo + hi + 1) >> 1;
    if (f.rowStart[mid]! <= box) lo = mid;
    else hi = mid - 1;
  }
  return lo;
}

/** Functions on the path from the root's child down to a box. */
export function pathOf(f: Flame, box: number): string[] {
  const out: string[] = [];
  for (let b = box; b > 0; b = f.parent[b]!) if (f.name[b] !== CUT_OFF_NAME) out.push(f.names[f.name[b]!]!);
  return out.reverse();
}

/** Box of a path of functions, or the deepest existing box on the path. */
export function boxOf(f: Flame, path: readonly string[]): number {
  let box = 0;
  for (const name of path) {
    const from = f.firstChild[box]!,
      to = from + f.children[box]!;
    let found = -1;
    for (let c = from; c < to; c++)
      if (f.name[c] !== CUT_OFF_NAME && f.names[f.name[c]!] === name) {
        found = c;
        break;
      }
    if (found < 0) return box;
    box = found;
  }
  return box;
}

/** Box of a level at position x; -1 without a box there. */
export function boxAt(f: Flame, level: number, x: number): number {
  if (level < 0 || level >= f.rowStart.length - 1) return -1;
  const box = lastAtOrBefore(f, f.rowStart[level]!, f.rowStart[level + 1]!, x);
  return box >= 0 && x < f.x[box]! + f.width[box]! ? box : -1;
}

/** Last box in [from, to) whose left edge is at most `x`; -1 without such a box. */
export function lastAtOrBefore(f: Flame, from: number, to: number, x: number): number {
  let lo = from,
    hi = to;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (f.x[mid]! <= x) lo = mid + 1;
    else hi = mid;
  }
  return lo - 1 >= from ? lo - 1 : -1;
}

/** Share of the graph that is not cut off, 0 to 1. */
export function shareNotCutOff(f: Flame): number {
  let cut = 0;
  for (let i = 0; i < f.name.length; i++) if (f.name[i] === CUT_OFF_NAME) cut += f.width[i]!;
  return f.width[0]! > 0 ? 1 - cut / f.width[0]! : 1;
}
