import {
  addInt64,
  ByteStrings,
  I32Column,
  I64Column,
  isBelow,
  nthLargest,
  PairTable,
  splitInt64,
  U32Column,
  wordsOf,
} from "@cinderblock/columnar";
import type { ProfileSource, RowTable } from "@cinderblock/block";
import { visitBatches, type Segment } from "./segments.ts";
import { filterColumns, type SampleFilter, matchesSample, type SelectedSeries } from "./select.ts";

/**
 * A call tree by function name as columns, sent between components. Node 0 is the unnamed root; parents
 * precede their children. `self` is the value of the node itself.
 */
export interface PartialTree {
  nameBytes: Uint8Array;
  nameOffset: Uint32Array;
  parent: Int32Array;
  name: Uint32Array;
  self: BigInt64Array;
  /** node -> sum of its cut-off children; only in a complete tree that is already cut for its answer */
  folded?: BigInt64Array;
}

/** Sums trees: nodes with equal name paths merge. */
export class TreeMerger {
  readonly names = new ByteStrings();
  readonly parent = new I32Column(256);
  readonly name = new U32Column(256);
  readonly self = new I64Column(256);
  private readonly children = new PairTable(256);

  constructor() {
    this.names.intern(new Uint8Array(0), 0, 0);
    this.parent.push(-1);
    this.name.push(0);
    this.self.push(0n);
  }

  childNode(parent: number, name: number): number {
    const node = this.parent.length;
    const found = this.children.getOrSet(parent, name, node);
    if (found >= 0) return found;
    this.parent.push(parent);
    this.name.push(name);
    this.self.push(0n);
    return node;
  }

  /** Reserves capacity for `nodes` more nodes. */
  reserve(nodes: number): void {
    this.children.reserve(this.parent.length + nodes);
    this.parent.reserve(nodes);
    this.name.reserve(nodes);
    this.self.reserve(nodes);
  }

  /** Maps each node of `t` to a node of this tree, without values. */
  mapNodes(t: PartialTree): Uint32Array {
    const n = t.parent.length;
    this.reserve(n);
    const nameMap = new Uint32Array(t.nameOffset.length).fill(0xffffffff);
    const map = new Uint32Array(n);
    for (let i = 1; i < n; i++) {
      const own = t.name[i]!;
      let name = nameMap[own]!;
      if (name === 0xffffffff)
        nameMap[own] = name = this.names.intern(t.nameBytes, t.nameOffset[own]!, t.nameOffset[own + 1]!);
      map[i] = this.childNode(map[t.parent[i]!]!, name);
    }
    return map;
  }

  add(t: PartialTree): void {
    const map = this.mapNodes(t);
    const to = wordsOf(this.self.data),
      from = wordsOf(t.self);
    for (let i = 0; i < map.length; i++) addInt64(to, map[i]!, from, i);
  }

  finish(): PartialTree {
    return {
      nameBytes: this.names.bytes.view().slice(),
      nameOffset: this.names.offset.view().slice(),
      parent: this.parent.view().slice(),
      name: this.name.view().slice(),
      self: this.self.view().slice(),
    };
  }
}

/** A tree with only its root. */
export function emptyTree(): PartialTree {
  return {
    nameBytes: new Uint8Array(0),
    nameOffset: new Uint32Array(2),
    parent: Int32Array.of(-1),
    name: Uint32Array.of(0),
    self: BigInt64Array.of(0n),
  };
}

type Symbols = Awaited<ReturnType<ProfileSource["symbols"]>>;

/**
 * Sums samples of the segments' rows by stack node, per symbol partition; also returns the symbols of these
 * partitions.
 */
export async function sumByStack(
  source: ProfileSource,
  segments: readonly Segment[],
  filter: SampleFilter | undefined,
): Promise<{ totals: Map<number, BigInt64Array>; symbols: Map<number, Symbols> }> {
  const symbols = new Map<number, Symbols>(),
    totals = new Map<number, BigInt64Array>(),
    sums = new Map<number, Uint32Array>();
  for (const { rows, selected } of segments)
    await loadSymbols(source, await rows.load(["keys"]), selected, symbols);
  for (const segment of segments) {
    await visitBatches(segment, ["samples", ...filterColumns(filter)], (table, batch) => {
      const { partition, sampleStart, sampleEnd, stacktraceId, value } = table;
      const values = wordsOf(value);
      for (const { rows } of batch) {
        for (let i = 0; i < rows.length; i++) {
          const row = rows[i]!;
          const p = partition[row]!;
          let total = totals.get(p);
          if (!total) {
            totals.set(p, (total = new BigInt64Array(symbols.get(p)!.tables.stackParent.length)));
            sums.set(p, wordsOf(total));
          }
          if (filter) {
            addFiltered(total, table, row, filter);
            continue;
          }
          addSamples(sums.get(p)!, stacktraceId, values, sampleStart[row]!, sampleEnd[row]!);
        }
      }
    });
  }
  return { totals, symbols };
}

/**
 * Adds the value of each sample to the sum of its stack: to[stack] += value. `to` has words of 64-bit
 * integers.
 */
function addSamples(
  to: Uint32Array,
  stacktraceId: Uint32Array,
  from: Uint32Array,
  start: number,
  end: number,
): void {
  for (let k = start; k < end; k++) addInt64(to, stacktraceId[k]!, from, k);
}

function addFiltered(total: BigInt64Array, t: RowTable, row: number, filter: SampleFilter): void {
  for (let k = t.sampleStart[row]!; k < t.sampleEnd[row]!; k++)
    if (matchesSample(filter, t, row, k)) total[t.stacktraceId[k]!]! += t.value[k]!;
}

/** Loads the symbols of the partitions that the rows refer to. */
export async function loadSymbols(
  source: ProfileSource,
  table: RowTable,
  selected: readonly SelectedSeries[],
  into: Map<number, Symbols>,
): Promise<void> {
  const needed = new Set<number>();
  for (const { rows } of selected)
    for (let i = 0; i < rows.length; i++) needed.add(table.partition[rows[i]!]!);
  await Promise.all(
    [...needed]
      .filter((p) => !into.has(p))
      .map(async (p) => {
        into.set(p, await source.symbols(p));
      }),
  );
}

/**
 * All symbol partitions of one source as one tree of names, kept between queries: stack node -> tree node. A
 * query then only adds values and hashes nothing.
 */
class SourceFlame {
  readonly tree = new TreeMerger();
  private readonly partitions = new Map<number, { nodes: U32Column; names: Int32Array }>();

  /** Tree node of each flame node of a partition, extended to the current nodes. */
  extend(partition: number, { tables, flame }: Awaited<ReturnType<ProfileSource["symbols"]>>): Uint32Array {
    let p = this.partitions.get(partition);
    if (!p) {
      p = { nodes: new U32Column(flame.parent.length), names: new Int32Array(0) };
      this.partitions.set(partition, p);
    }
    const { nodes } = p;
    const n = flame.parent.length;
    if (nodes.length === n) return nodes.data;
    if (p.names.length < tables.stringOffset.length) {
      const grown = new Int32Array(tables.stringOffset.length * 2).fill(-1);
      grown.set(p.names);
      p.names = grown;
    }
    const { names } = p;
    const { tree } = this;
    tree.reserve(n - nodes.length);
    for (let i = nodes.length; i < n; i++) {
      if (i === 0) {
        nodes.push(0);
        continue;
      }
      const own = flame.name.data[i]!;
      let name = names[own]!;
      if (name < 0)
        names[own] = name = tree.names.intern(
          tables.stringBytes,
          tables.stringOffset[own]!,
          tables.stringOffset[own + 1]!,
        );
      nodes.push(tree.childNode(nodes.data[flame.parent.data[i]!]!, name));
    }
    tree.names.release();
    return nodes.data;
  }
}

const flames = new WeakMap<ProfileSource, SourceFlame>();

/** Call tree of the segments' rows, cut to `cutTo` nodes if that is above 0. */
export async function buildTree(
  source: ProfileSource,
  segments: readonly Segment[],
  filter: SampleFilter | undefined,
  cutTo: number,
): Promise<PartialTree> {
  const { totals, symbols } = await sumByStack(source, segments, filter);
  let index = flames.get(source);
  if (!index) flames.set(source, (index = new SourceFlame()));
  const maps = new Map([...totals.keys()].map((p) => [p, index.extend(p, symbols.get(p)!)]));
  const { tree } = index;
  const nodes = tree.parent.length;
  const self = new BigInt64Array(nodes);
  const used = new Uint8Array(nodes);
  for (const [p, byStack] of totals)
    addStacks(byStack, symbols.get(p)!.flame.ofStack.data, maps.get(p)!, self, used);
  // As in v1, stacks without any named frame are left out.
  if (!source.countsUnnamed) self[0] = 0n;
  return compactTree(tree, self, used, cutTo);
}

/** Adds the values of stacks to the tree nodes where they end. */
function addStacks(
  byStack: BigInt64Array,
  ofStack: Uint32Array,
  map: Uint32Array,
  self: BigInt64Array,
  used: Uint8Array,
): void {
  const words = wordsOf(byStack),
    to = wordsOf(self);
  for (let s = 1; s < byStack.length; s++) {
    if ((words[2 * s]! | words[2 * s + 1]!) === 0) continue;
    const node = map[ofStack[s]!]!;
    addInt64(to, node, words, s);
    used[node] = 1;
  }
}

/**
 * The used nodes of a tree with their names; with `cutTo`, the other children of each parent are folded into
 * a sum.
 */
function compactTree(tree: TreeMerger, self: BigInt64Array, used: Uint8Array, cutTo: number): PartialTree {
  const nodes = self.length;
  const parent = tree.parent.data,
    name = tree.name.data;
  let count = 0;
  for (let i = nodes - 1; i > 0; i--)
    if (used[i] === 1) {
      used[parent[i]!] = 1;
      count++;
    }
  used[0] = 1;
  let folded: BigInt64Array | undefined;
  if (cutTo > 0 && count > cutTo) {
    const total = self.slice(),
      sums = wordsOf(total);
    for (let i = nodes - 1; i > 0; i--) if (used[i] === 1) addInt64(sums, parent[i]!, sums, i);
    const minimum = splitInt64(nthLargestOf(total, used, count, cutTo));
    folded = new BigInt64Array(nodes);
    const foldedWords = wordsOf(folded);
    for (let i = 1; i < nodes; i++) {
      if (used[i] === 0) continue;
      // State 2: cut off. The total of the topmost cut-off node includes all nodes below it.
      if (used[parent[i]!] === 2) {
        used[i] = 2;
        count--;
      } else if (isBelow(sums, i, minimum)) {
        used[i] = 2;
        count--;
        addInt64(foldedWords, parent[i]!, sums, i);
      }
    }
  }
  const newId = new Uint32Array(nodes),
    names = new Int32Array(tree.names.length).fill(-1);
  const outParent = new Int32Array(count + 1),
    outName = new Uint32Array(count + 1),
    outSelf = new BigInt64Array(count + 1),
    outFolded = folded ? new BigInt64Array(count + 1) : undefined;
  const toSelf = wordsOf(outSelf),
    fromSelf = wordsOf(self),
    toFolded = outFolded && wordsOf(outFolded),
    fromFolded = folded && wordsOf(folded);
  const kept: number[] = [0];
  names[0] = 0;
  let at = 0,
    bytes = 0;
  for (let i = 0; i < nodes; i++) {
    if (used[i] !== 1) continue;
    newId[i] = at;
    const own = name[i]!;
    if (names[own] === -1) {
      names[own] = kept.length;
      kept.push(own);
      bytes += tree.names.offset.data[own + 1]! - tree.names.offset.data[own]!;
    }
    outParent[at] = i === 0 ? -1 : newId[parent[i]!]!;
    outName[at] = names[own]!;
    addInt64(toSelf, at, fromSelf, i);
    if (toFolded) addInt64(toFolded, at, fromFolded!, i);
    at++;
  }
  const nameBytes = new Uint8Array(bytes),
    nameOffset = new Uint32Array(kept.length + 1);
  const from = tree.names.bytes.data,
    offset = tree.names.offset.data;
  let pos = 0;
  kept.forEach((own, k) => {
    nameBytes.set(from.subarray(offset[own]!, offset[own + 1]!), pos);
    pos += offset[own + 1]! - offset[own]!;
    nameOffset[k + 1] = pos;
  });
  return {
    nameBytes,
    nameOffset,
    parent: outParent,
    name: outName,
    self: outSelf,
    ...(outFolded ? { folded: outFolded } : {}),
  };
}

function nthLargestOf(total: BigInt64Array, used: Uint8Array, count: number, n: number): bigint {
  const words = new Uint32Array(total.buffer, total.byteOffset, total.length * 2);
  if (total[0]! > 9007199254740991n) {
    const some = total.filter((_, i) => i > 0 && used[i] === 1).sort();
    return some[Math.max(0, some.length - n)]!;
  }
  const some = new Float64Array(count);
  let at = 0;
  for (let i = 1; i < total.length; i++)
    if (used[i] === 1) some[at++] = words[2 * i + 1]! * 4294967296 + words[2 * i]!;
  return BigInt(nthLargest(some, n));
}
