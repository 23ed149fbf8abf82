import { type Pace, UNPACED } from "@cinderblock/async";
import type { FlameIndex } from "@cinderblock/block";
import { ByteWriter } from "@cinderblock/bytes";
import { addInt64, ByteStrings, nthLargest, wordsOf } from "@cinderblock/columnar";
import { textFilter } from "@cinderblock/model";
import type { SymbolTables } from "@cinderblock/symdb";
import { emptyTree, type PartialTree, TreeMerger } from "./tree.ts";

/**
 * Selection and display of stacks, by complete function names. In all lists except `callSite`, entries
 * between slashes are regular expressions (RE2, case-insensitive).
 */
export interface StackFilter {
  /** stacks that begin with these functions, root first */
  callSite: readonly string[];
  /** stacks that contain each of these functions */
  only: readonly string[];
  /** stacks that contain no such function */
  without: readonly string[];
  /** functions that are merged into their callers */
  hide: readonly string[];
}

/** Two call trees as one: the nodes of both, each with a value per side. Parents precede their children. */
export interface ComparisonTree {
  nameBytes: Uint8Array;
  nameOffset: Uint32Array;
  parent: Int32Array;
  name: Uint32Array;
  self: BigInt64Array;
  /** values of the other side of a comparison; undefined without a comparison */
  base: BigInt64Array | undefined;
}

/** Verdicts of a filter on a name: hide its functions, or drop their stacks. */
const HIDDEN = 1,
  GONE = 2;

/**
 * Matcher of a filter entry: a complete name, or a pattern between slashes.
 * @throws `invalid` for an invalid pattern
 */
function matcher(entry: string): { bytes: Buffer } | { found: (name: string) => boolean } {
  return /^\/.+\/$/s.test(entry) ? { found: textFilter(entry) } : { bytes: Buffer.from(entry) };
}

/** Shape of a call tree: parents precede their children. */
type NamedTree = Pick<PartialTree, "nameBytes" | "nameOffset" | "parent" | "name">;

/** Verdicts of a filter on each name of a tree; `only` has one bit per entry. */
interface NameVerdicts {
  said: Uint8Array;
  only: Uint32Array;
  entries: number;
}

/** Names to match between two checks of the clock. */
const NAMES_AT_ONCE = 256;
/** Length in bytes from which a regular expression may take a millisecond per name. */
const LONG_NAME = 200;

async function namesOf(t: NamedTree, f: StackFilter, pace: Pace): Promise<NameVerdicts> {
  const n = t.nameOffset.length - 1,
    out = { said: new Uint8Array(n), only: new Uint32Array(n), entries: new Set(f.only).size };
  const of = (
    list: readonly string[],
    mark: (name: number, entry: number) => void,
  ): { m: ReturnType<typeof matcher>; mark: (name: number) => void }[] =>
    [...new Set(list)].map((e, k) => ({
      m: matcher(e),
      mark: (name) => {
        mark(name, k);
      },
    }));
  const all = [
    ...of(f.hide, (i) => {
      out.said[i]! |= HIDDEN;
    }),
    ...of(f.without, (i) => {
      out.said[i]! |= GONE;
    }),
    ...of(f.only, (i, bit) => {
      out.only[i]! |= 1 << bit;
    }),
  ];
  if (all.length === 0) return out;
  const decoder = new TextDecoder(),
    patterns = all.some(({ m }) => "found" in m);
  for (let i = 1; i < n; i++) {
    const from = t.nameOffset[i]!,
      to = t.nameOffset[i + 1]!;
    if ((i % NAMES_AT_ONCE === 0 || (patterns && to - from > LONG_NAME)) && pace.due()) await pace.next();
    const text = patterns ? decoder.decode(t.nameBytes.subarray(from, to)) : "";
    for (const { m, mark } of all)
      if (
        "found" in m
          ? m.found(text)
          : m.bytes.length === to - from && m.bytes.equals(t.nameBytes.subarray(from, to))
      )
        mark(i);
  }
  return out;
}

/** node -> 1 if the filter accepts its stack. */
function countingNodes(t: NamedTree, f: StackFilter, names: NameVerdicts): Uint8Array {
  const n = t.parent.length,
    { said, only, entries } = names,
    callSite = f.callSite.map((s) => Buffer.from(s)),
    site = callSite.length;
  const isNamed = (name: number, as: Buffer): boolean =>
    Buffer.compare(t.nameBytes.subarray(t.nameOffset[name]!, t.nameOffset[name + 1]!), as) === 0;
  const every = (entries === 0 ? 0 : entries === 32 ? 0xffffffff : (1 << entries) - 1) >>> 0;
  // node -> number of call site functions that its stack begins with; bits of the `only` entries in its stack
  const begun = new Int32Array(n),
    bits = new Uint32Array(n),
    gone = new Uint8Array(n),
    depth = new Int32Array(n),
    counts = new Uint8Array(n);
  counts[0] = site === 0 && every === 0 ? 1 : 0;
  for (let i = 1; i < n; i++) {
    const p = t.parent[i]!,
      own = t.name[i]!;
    depth[i] = depth[p]! + 1;
    begun[i] =
      begun[p]! === site || (begun[p]! === depth[p]! && isNamed(own, callSite[depth[p]!]!))
        ? Math.min(site, begun[p]! + 1)
        : begun[p]!;
    bits[i] = bits[p]! | only[own]!;
    gone[i] = gone[p]! | (said[own]! & GONE);
    counts[i] = gone[i] === 0 && begun[i] === site && (bits[i]! & every) >>> 0 === every ? 1 : 0;
  }
  return counts;
}

/** Filter with only a call site. */
export function callSiteFilter(callSite: readonly string[]): StackFilter {
  return { callSite, only: [], without: [], hide: [] };
}

/**
 * Predicate for the stack nodes of a symbol partition that a filter accepts.
 * @param flame flame index of the same tables
 */
export async function stackPredicate(
  tables: SymbolTables,
  flame: FlameIndex,
  f: StackFilter,
  pace = UNPACED,
): Promise<(stackNode: number) => boolean> {
  // A head grows during the awaits: use its nodes and names as of now.
  const parent = flame.parent.view(),
    name = flame.name.view(),
    tree = { nameBytes: tables.stringBytes, nameOffset: tables.stringOffset, parent, name };
  const counts = countingNodes(tree, f, await namesOf(tree, f, pace)),
    ofStack = flame.ofStack.data;
  return (node) => counts[ofStack[node]!] === 1;
}

/**
 * Merges the accepted stacks of `t` into a tree with one node per path.
 * @returns node of `t` -> node there; -1 if its stack does not count. Only counted nodes and their ancestors
 * become nodes
 */
async function filtered(t: PartialTree, f: StackFilter, into: TreeMerger, pace: Pace): Promise<Int32Array> {
  const n = t.parent.length,
    names = await namesOf(t, f, pace),
    { said } = names,
    counts = countingNodes(t, f, names),
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
function totals(t: ComparisonTree, self: BigInt64Array): BigInt64Array {
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

/**
 * Values of every function, by name number; recursion counts once. For name 0, the root's name, `total` is
 * the total of all stacks.
 */
export interface FunctionSums {
  self: BigInt64Array;
  total: BigInt64Array;
  baseSelf: BigInt64Array | undefined;
  baseTotal: BigInt64Array | undefined;
}

/** node -> 1 if no ancestor has its function: the totals of these nodes sum to the function's total. */
function outermost(t: ComparisonTree): Uint8Array {
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

/** Sums of all functions of two trees; recursion counts once. */
export function functionSums(t: ComparisonTree): FunctionSums {
  const names = t.nameOffset.length - 1,
    outer = outermost(t);
  const side = (self: BigInt64Array): [BigInt64Array, BigInt64Array] => {
    const sums = new BigInt64Array(names),
      all = new BigInt64Array(names),
      total = totals(t, self);
    const toSelf = wordsOf(sums),
      toTotal = wordsOf(all),
      fromSelf = wordsOf(self),
      fromTotal = wordsOf(total);
    for (let i = 1; i < self.length; i++) {
      addInt64(toSelf, t.name[i]!, fromSelf, i);
      if (outer[i] === 1) addInt64(toTotal, t.name[i]!, fromTotal, i);
    }
    all[0] = total[0]!;
    return [sums, all];
  };
  const [self, total] = side(t.self),
    [baseSelf, baseTotal] = t.base ? side(t.base) : [undefined, undefined];
  return { self, total, baseSelf, baseTotal };
}

/** Column that orders a function table. */
export type FunctionOrder = "self" | "total" | "name" | "self-change" | "total-change";
/** Selection and order of a function table's rows; `only`: complete names, empty means all. */
export interface TablePage {
  filter: string;
  only: readonly string[];
  order: FunctionOrder;
  ascending: boolean;
  offset: number;
  limit: number;
}

/** Encodes cinderblock.explore.v1.FunctionTableResponse: the rows of one page, exact. */
export async function encodeFunctionTable(
  t: ComparisonTree,
  page: TablePage,
  pace = UNPACED,
): Promise<Uint8Array> {
  const sums = functionSums(t);
  const names = t.nameOffset.length - 1;
  const total = sums.total[0]!,
    baseTotal = sums.baseTotal?.[0] ?? 0n;
  const decoder = new TextDecoder(),
    text: string[] = [];
  for (let i = 0; i < names; i++)
    text.push(decoder.decode(t.nameBytes.subarray(t.nameOffset[i]!, t.nameOffset[i + 1]!)));
  const passes = textFilter(page.filter),
    only = page.only.length > 0 ? new Set(page.only) : undefined;
  const seen = (i: number): boolean => sums.total[i] !== 0n || (sums.baseTotal?.[i] ?? 0n) !== 0n;
  let count = 0;
  const rows: number[] = [];
  for (let i = 1; i < names; i++)
    if (seen(i)) {
      count++;
      if ((i % NAMES_AT_ONCE === 0 || text[i]!.length > LONG_NAME) && pace.due()) await pace.next();
      if (only ? only.has(text[i]!) : passes(text[i]!)) rows.push(i);
    }
  const share = (v: bigint, of: bigint): number => (of === 0n ? 0 : Number(v) / Number(of));
  const key: ((i: number) => number) | undefined =
    page.order === "name"
      ? undefined
      : page.order === "self"
        ? (i) => Number(sums.self[i]!) + Number(sums.baseSelf?.[i] ?? 0n)
        : page.order === "total"
          ? (i) => Number(sums.total[i]!) + Number(sums.baseTotal?.[i] ?? 0n)
          : page.order === "self-change"
            ? (i) => Math.abs(share(sums.self[i]!, total) - share(sums.baseSelf?.[i] ?? 0n, baseTotal))
            : (i) => Math.abs(share(sums.total[i]!, total) - share(sums.baseTotal?.[i] ?? 0n, baseTotal));
  const byName = (a: number, b: number): number => (text[a]! < text[b]! ? -1 : text[a]! > text[b]! ? 1 : 0);
  const direction = page.ascending ? 1 : -1;
  if (key) {
    const keys = new Map(rows.map((i) => [i, key(i)]));
    rows.sort((a, b) => direction * (keys.get(a)! - keys.get(b)!) || byName(a, b));
  } else rows.sort((a, b) => direction * byName(a, b));
  const out = new ByteWriter(1 << 14),
    row = new ByteWriter(256);
  for (const i of rows.slice(page.offset, page.limit > 0 ? page.offset + page.limit : undefined)) {
    row.reset();
    row.u8(10);
    row.uvarint(t.nameOffset[i + 1]! - t.nameOffset[i]!);
    row.bytes(t.nameBytes.subarray(t.nameOffset[i]!, t.nameOffset[i + 1]!));
    putValue(row, 2, sums.self[i]!);
    putValue(row, 3, sums.total[i]!);
    putValue(row, 4, sums.baseSelf?.[i] ?? 0n);
    putValue(row, 5, sums.baseTotal?.[i] ?? 0n);
    out.u8(10);
    out.uvarint(row.length);
    out.bytes(row.finish());
  }
  putValue(out, 2, total);
  putValue(out, 3, baseTotal);
  putValue(out, 4, BigInt(count));
  putValue(out, 5, BigInt(rows.length));
  return out.transferBytes();
}

function putValue(out: ByteWriter, field: number, value: bigint): void {
  if (value === 0n) return;
  out.u8(field * 8);
  out.uvarint64(value);
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
  const outer = outermost(t),
    total = totals(t, t.self),
    baseTotal = t.base ? totals(t, t.base) : undefined;
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

/**
 * Encodes cinderblock.explore.v1.CallTreeResponse: the `maxNodes` nodes with the largest share on either side
 * (0: all nodes), and for each the sum and number of its cut-off children.
 */
export function encodeCallTree(t: ComparisonTree, maxNodes: number): Uint8Array {
  const n = t.parent.length;
  const total = totals(t, t.self),
    baseTotal = t.base ? totals(t, t.base) : undefined;
  const weight = new Float64Array(n),
    all = Math.max(1, Number(total[0])),
    baseAll = Math.max(1, Number(baseTotal?.[0] ?? 0n));
  for (let i = 0; i < n; i++)
    weight[i] = Math.max(Number(total[i]) / all, baseTotal ? Number(baseTotal[i]) / baseAll : 0);
  let alive = 0;
  for (let i = 1; i < n; i++) if (weight[i]! > 0) alive++;
  const minimum = maxNodes > 0 && alive > maxNodes ? nthLargest(weight.slice(1), maxNodes) : 0;
  const id = new Int32Array(n).fill(-1),
    kept: number[] = [0];
  id[0] = 0;
  const folded = new BigInt64Array(n),
    baseFolded = t.base && new BigInt64Array(n),
    foldedCount = new Uint32Array(n);
  for (let i = 1; i < n; i++) {
    const p = t.parent[i]!;
    if (weight[i] === 0 || id[p]! < 0) continue;
    if (weight[i]! >= minimum) {
      id[i] = kept.length;
      kept.push(i);
      continue;
    }
    folded[p]! += total[i]!;
    if (baseFolded) baseFolded[p]! += baseTotal![i]!;
    foldedCount[p]!++;
  }
  const nameId = new Int32Array(t.nameOffset.length).fill(-1),
    nameOrder: number[] = [];
  for (const i of kept) {
    const own = t.name[i]!;
    if (nameId[own]! < 0) {
      nameId[own] = nameOrder.length;
      nameOrder.push(own);
    }
  }
  const out = new ByteWriter(1 << 16),
    column = new ByteWriter(1 << 14);
  for (const own of nameOrder) {
    out.u8(10);
    out.uvarint(t.nameOffset[own + 1]! - t.nameOffset[own]!);
    out.bytes(t.nameBytes.subarray(t.nameOffset[own]!, t.nameOffset[own + 1]!));
  }
  const put = (field: number, value: (i: number) => number | bigint): void => {
    column.reset();
    column.reserve(kept.length * 10);
    for (let k = 0; k < kept.length; k++) {
      const v = value(kept[k]!);
      if (typeof v === "number") column.uvarint(v);
      else column.uvarint64(v);
    }
    out.u8(field * 8 + 2);
    out.uvarint(column.length);
    out.bytes(column.finish());
  };
  put(2, (i) => (i === 0 ? 0 : id[t.parent[i]!]!));
  put(3, (i) => nameId[t.name[i]!]!);
  put(4, (i) => t.self[i]!);
  put(5, (i) => folded[i]!);
  put(6, (i) => foldedCount[i]!);
  if (t.base) {
    const { base } = t;
    put(7, (i) => base[i]!);
    put(8, (i) => baseFolded![i]!);
  }
  putValue(out, 9, total[0]!);
  putValue(out, 10, baseTotal?.[0] ?? 0n);
  putValue(out, 11, BigInt(alive + 1));
  return out.transferBytes();
}
