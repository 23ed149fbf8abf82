import { type Pace, UNPACED } from "@cinderblock/async";
import { addInt64, ByteStrings, wordsOf } from "@cinderblock/columnar";
import { acceptedNodes, HIDDEN, nameVerdicts, type StackFilter } from "./stack-filter.ts";
import { emptyTree, type PartialTree, TreeMerger } from "./tree.ts";

/** Two call trees as one: the nodes of both, each with a value per side. Parents precede their children. */
export interface ComparisonTree {
  nameBytes: Uint8Array;
  nameOffset: Uint32Array;
  parent: Int32Array;
  name: Uint32Array;
  self: BigInt64Array;
  /** node -> own value on the baseline side; undefined without a comparison */
  base: BigInt64Array | undefined;
}

/**
 * Merges the accepted stacks of `t` into a tree with one node per path.
 * @returns node of `t` -> node there; -1 if its stack does not count. Only counted nodes and their ancestors
 * become nodes
 */
async function filtered(t: PartialTree, f: StackFilter, into: TreeMerger, pace: Pace): Promise<Int32Array> {
  const n = t.parent.length,
    names = await nameVerdicts(t, f, pace),
    { said } = names,
    counts = acceptedNodes(t, f, names),
    kept = new Uint8Array(n);
  for (let i = n - 1; i > 0; i--) {
    kept[i]! |= counts[i]!;
    kept[t.parent[i]!]! |= kept[i]!;
  }
  const nameMap = new Int32Array(t.nameOffset.length).fill(-1),
    map = new Int32Array(n);
  for (let i = 1; i < n; i++) {
    if (kept[i] === 0) continue;
    const p = t.parent[i]!,
      own = t.name[i]!;
    if ((said[own]! & HIDDEN) !== 0) {
      map[i] = map[p]!;
      continue;
    }
    let id = nameMap[own]!;
    if (id < 0)
      nameMap[own] = id = into.names.intern(t.nameBytes, t.nameOffset[own]!, t.nameOffset[own + 1]!);
    map[i] = into.childNode(map[p]!, id);
  }
  for (let i = 0; i < n; i++) if (counts[i] === 0) map[i] = -1;
  return map;
}

/** Merges the accepted stacks of one tree, or of two. @param baseline other side of a comparison */
export async function mergeComparison(
  tree: PartialTree,
  baseline: PartialTree | undefined,
  f: StackFilter,
  baseFilter: StackFilter,
  pace = UNPACED,
): Promise<ComparisonTree> {
  const m = new TreeMerger();
  const maps = [
    await filtered(tree, f, m, pace),
    await filtered(baseline ?? emptyTree(), baseFilter, m, pace),
  ] as const;
  const n = m.parent.length;
  const sides = [new BigInt64Array(n), new BigInt64Array(n)] as const;
  [tree, baseline].forEach((t, side) => {
    if (!t) return;
    const to = wordsOf(sides[side]!),
      from = wordsOf(t.self),
      map = maps[side]!;
    for (let i = 0; i < map.length; i++) if (map[i]! >= 0) addInt64(to, map[i]!, from, i);
  });
  return {
    nameBytes: m.names.bytes.view().slice(),
    nameOffset: m.names.offset.view().slice(),
    parent: m.parent.view().slice(),
    name: m.name.view().slice(),
    self: sides[0],
    base: baseline ? sides[1] : undefined,
  };
}

/** node -> sum of its own value and all values below it */
export function nodeTotals(t: ComparisonTree, self: BigInt64Array): BigInt64Array {
  const total = self.slice(),
    words = wordsOf(total);
  for (let i = total.length - 1; i > 0; i--) addInt64(words, t.parent[i]!, words, i);
  return total;
}

/** Children of each node as lists: `first[node]`, then `next[child]`; 0 ends a list. */
function childLists(parent: Int32Array): { first: Uint32Array; next: Uint32Array } {
  const first = new Uint32Array(parent.length),
    next = new Uint32Array(parent.length);
  for (let i = parent.length - 1; i > 0; i--) {
    next[i] = first[parent[i]!]!;
    first[parent[i]!] = i;
  }
  return { first, next };
}

/** node -> 1 if no ancestor has its function: the totals of these nodes sum to the function's total. */
export function outermostCalls(t: ComparisonTree): Uint8Array {
  const n = t.parent.length;
  const { first, next } = childLists(t.parent);
  const out = new Uint8Array(n),
    open = new Uint32Array(t.nameOffset.length);
  // Depth first; each node is visited on the way down and, as its complement, on the way up.
  const stack = new Int32Array(2 * n);
  let top = 0;
  for (let c = first[0]!; c !== 0; c = next[c]!) stack[top++] = c;
  while (top > 0) {
    const i = stack[--top]!;
    if (i < 0) {
      open[t.name[~i]!]!--;
      continue;
    }
    if (open[t.name[i]!]!++ === 0) out[i] = 1;
    stack[top++] = ~i;
    for (let c = first[i]!; c !== 0; c = next[c]!) stack[top++] = c;
  }
  return out;
}

/**
 * Trees around one function: `callers` up to the entry points, `callees` down to the leaves; recursion counts
 * once.
 */
export function callersAndCallees(
  t: ComparisonTree,
  name: string,
): { callers: ComparisonTree; callees: ComparisonTree } {
  const bytes = new TextEncoder().encode(name);
  const names = new ByteStrings();
  names.intern(new Uint8Array(0), 0, 0);
  for (let i = 1; i < t.nameOffset.length - 1; i++)
    names.intern(t.nameBytes, t.nameOffset[i]!, t.nameOffset[i + 1]!);
  const before = names.length,
    wanted = names.intern(bytes, 0, bytes.length);
  const empty = (): ComparisonTree => ({
    ...t,
    parent: Int32Array.of(-1),
    name: Uint32Array.of(0),
    self: BigInt64Array.of(0n),
    base: t.base && BigInt64Array.of(0n),
  });
  if (names.length > before) return { callers: empty(), callees: empty() };
  const outer = outermostCalls(t),
    total = nodeTotals(t, t.self),
    baseTotal = t.base ? nodeTotals(t, t.base) : undefined;
  const up = new TreeMerger(),
    down = new TreeMerger();
  const below = new Int32Array(t.parent.length).fill(-1),
    added: [node: number, of: number][] = [];
  for (let i = 1; i < t.parent.length; i++) {
    const p = t.parent[i]!;
    if (below[p]! >= 0) below[i] = down.childNode(below[p]!, t.name[i]!);
    else if (outer[i] === 1 && t.name[i] === wanted) {
      below[i] = down.childNode(0, wanted);
      let node = up.childNode(0, wanted);
      for (let a = p; a > 0; a = t.parent[a]!) node = up.childNode(node, t.name[a]!);
      added.push([node, i]);
    }
  }
  const shape = (
    m: TreeMerger,
    fill: (self: BigInt64Array, base: BigInt64Array | undefined) => void,
  ): ComparisonTree => {
    const self = new BigInt64Array(m.parent.length),
      base = t.base && new BigInt64Array(m.parent.length);
    fill(self, base);
    return {
      nameBytes: t.nameBytes,
      nameOffset: t.nameOffset,
      parent: m.parent.view().slice(),
      name: m.name.view().slice(),
      self,
      base,
    };
  };
  return {
    callers: shape(up, (self, base) => {
      for (const [node, of] of added) {
        self[node]! += total[of]!;
        if (base) base[node]! += baseTotal![of]!;
      }
    }),
    callees: shape(down, (self, base) => {
      for (let i = 1; i < below.length; i++)
        if (below[i]! >= 0) {
          self[below[i]!]! += t.self[i]!;
          if (base) base[below[i]!]! += t.base![i]!;
        }
    }),
  };
}
