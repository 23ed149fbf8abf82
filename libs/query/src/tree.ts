import { ByteStrings, I32Column, I64Column, PairTable, U32Column } from "@cinderblock/columnar";
import type { ProfileSource, RowTable } from "@cinderblock/block";
import type { SelectedSeries, SpanSet } from "./select.ts";

/**
 * A call tree by function name, as columns: what travels between components. Node 0 is the root without a name;
 * parents come before their children. `self` is what the node itself was seen with.
 */
export interface PartialTree {
  nameBytes: Uint8Array;
  nameOffset: Uint32Array;
  parent: Int32Array;
  name: Uint32Array;
  self: BigInt64Array;
}

/** Adds trees up: nodes with equal paths of names are one. */
export class TreeMerger {
  readonly names = new ByteStrings();
  readonly parent = new I32Column(256);
  readonly name = new U32Column(256);
  readonly self = new I64Column(256);
  private readonly children = new PairTable(256);

  constructor() { this.names.intern(new Uint8Array(0), 0, 0); this.parent.push(-1); this.name.push(0); this.self.push(0n); }

  child(parent: number, name: number): number {
    const node = this.parent.length;
    const found = this.children.getOrSet(parent, name, node);
    if (found >= 0) return found;
    this.parent.push(parent);
    this.name.push(name);
    this.self.push(0n);
    return node;
  }

  add(t: PartialTree): void {
    const n = t.parent.length;
    const nameMap = new Uint32Array(t.nameOffset.length).fill(0xffffffff);
    const map = new Uint32Array(n);
    for (let i = 1; i < n; i++) {
      const own = t.name[i]!;
      let name = nameMap[own]!;
      if (name === 0xffffffff) nameMap[own] = name = this.names.intern(t.nameBytes, t.nameOffset[own]!, t.nameOffset[own + 1]!);
      const node = (map[i] = this.child(map[t.parent[i]!]!, name));
      this.self.data[node]! += t.self[i]!;
    }
    this.self.data[0]! += t.self[0]!;
  }

  finish(): PartialTree {
    return { nameBytes: this.names.bytes.view().slice(), nameOffset: this.names.offset.view().slice(), parent: this.parent.view().slice(), name: this.name.view().slice(), self: this.self.view().slice() };
  }
}

export function emptyTree(): PartialTree {
  return { nameBytes: new Uint8Array(0), nameOffset: new Uint32Array(2), parent: Int32Array.of(-1), name: Uint32Array.of(0), self: BigInt64Array.of(0n) };
}

/** Sums samples of the selected rows by stack node, partition by partition. */
export function sumByStack(table: RowTable, selected: readonly SelectedSeries[], spans: SpanSet | undefined, stacks: (partition: number) => number): Map<number, BigInt64Array> {
  const out = new Map<number, BigInt64Array>();
  const { partition, sampleStart, sampleEnd, stacktraceId, value } = table;
  for (const { rows } of selected) {
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!;
      const p = partition[row]!;
      let total = out.get(p);
      if (!total) out.set(p, (total = new BigInt64Array(stacks(p))));
      if (spans) { addSpans(total, table, row, spans); continue; }
      addSamples(total, stacktraceId, value, sampleStart[row]!, sampleEnd[row]!);
    }
  }
  return out;
}

/** total[s] += every value whose stack is s. */
function addSamples(total: BigInt64Array, stacktraceId: Uint32Array, value: BigInt64Array, start: number, end: number): void {
  for (let k = start; k < end; k++) total[stacktraceId[k]!]! += value[k]!;
}

function addSpans(total: BigInt64Array, t: RowTable, row: number, wanted: SpanSet): void {
  const start = t.sampleStart[row]!, end = t.sampleEnd[row]!, spanStart = t.spanStart[row]!;
  if (spanStart < 0) return;
  for (let k = start; k < end; k++) {
    const at = (spanStart + k - start) * 2;
    if (wanted.get(t.spans[at]!)?.has(t.spans[at + 1]!)) total[t.stacktraceId[k]!]! += t.value[k]!;
  }
}

/** The largest stack count of any partition that the rows name: loads the symbols first. */
export async function loadSymbols(source: ProfileSource, table: RowTable, selected: readonly SelectedSeries[]): Promise<Map<number, Awaited<ReturnType<ProfileSource["symbols"]>>>> {
  const needed = new Set<number>();
  for (const { rows } of selected) for (let i = 0; i < rows.length; i++) needed.add(table.partition[rows[i]!]!);
  const out = new Map<number, Awaited<ReturnType<ProfileSource["symbols"]>>>();
  await Promise.all([...needed].map(async (p) => { out.set(p, await source.symbols(p)); }));
  return out;
}

/** The call tree of the selected rows of one source. */
export async function buildTree(source: ProfileSource, table: RowTable, selected: readonly SelectedSeries[], spans: SpanSet | undefined, into: TreeMerger): Promise<void> {
  const symbols = await loadSymbols(source, table, selected);
  const totals = sumByStack(table, selected, spans, (p) => symbols.get(p)!.tables.stackParent.length);
  for (const [p, byStack] of totals) {
    const { tables, flame } = symbols.get(p)!;
    const ofStack = flame.ofStack.data, parent = flame.parent.data, name = flame.name.data;
    const nodes = flame.parent.length;
    const self = new BigInt64Array(nodes);
    const words = new Int32Array(byStack.buffer);
    const used = new Uint8Array(nodes);
    for (let s = 1; s < byStack.length; s++) {
      if ((words[2 * s]! | words[2 * s + 1]!) === 0) continue;
      const node = ofStack[s]!;
      self[node]! += byStack[s]!;
      used[node] = 1;
    }
    for (let i = nodes - 1; i > 0; i--) if (used[i] === 1) used[parent[i]!] = 1;
    const nameMap = new Int32Array(tables.stringOffset.length).fill(-1);
    const map = new Uint32Array(nodes);
    for (let i = 1; i < nodes; i++) {
      if (used[i] === 0) continue;
      const own = name[i]!;
      let global = nameMap[own]!;
      if (global < 0) nameMap[own] = global = into.names.intern(tables.stringBytes, tables.stringOffset[own]!, tables.stringOffset[own + 1]!);
      const node = (map[i] = into.child(map[parent[i]!]!, global));
      into.self.data[node]! += self[i]!;
    }
  }
}
