import type { ProfileSource } from "@cinderblock/block";
import { I64Column, U32Column } from "@cinderblock/columnar";
import { CinderblockError } from "@cinderblock/errors";
import { type Label, labelsKey } from "@cinderblock/model";
import type { Segment } from "./segments.ts";
import { visitBatches } from "./segments.ts";
import { filterColumns, type SampleFilter, matchesSample } from "./select.ts";
import { loadSymbols, type PartialTree, TreeMerger } from "./tree.ts";

/**
 * Profiles and their samples as columns, without aggregation. A stack is a node of `tree`, whose own values
 * are 0.
 */
export interface PartialSamples {
  series: Label[][];
  /** profile -> series, nanoseconds since the epoch, 16 bytes */
  rowSeries: Uint32Array;
  rowTime: BigInt64Array;
  rowId: Uint8Array;
  /** sample -> profile, stack, value, two words of its span */
  row: Uint32Array;
  stack: Uint32Array;
  value: BigInt64Array;
  span: Uint32Array;
  tree: PartialTree;
}

/** Maximum samples of one answer: each takes 24 bytes between components. */
const MAX_SAMPLES = 4_000_000;

function checkCount(n: number): void {
  if (n > MAX_SAMPLES)
    throw new CinderblockError(
      "limit",
      `one step of the export has more than ${MAX_SAMPLES} samples: choose a narrower selector`,
    );
}

/** All samples of the selected rows, or only the samples of some spans or traces. */
export async function buildSamples(
  source: ProfileSource,
  segment: Segment,
  filter: SampleFilter | undefined,
): Promise<PartialSamples> {
  const symbols = new Map<number, Awaited<ReturnType<ProfileSource["symbols"]>>>();
  await loadSymbols(source, await source.load(["keys"]), segment.selected, symbols);
  const tree = new TreeMerger(),
    nodes = new Map<number, Int32Array>(),
    series: Label[][] = [];
  const rowSeries = new U32Column(256),
    rowTime = new I64Column(256),
    rowId = new U32Column(1024),
    row = new U32Column(1024),
    stack = new U32Column(1024),
    value = new I64Column(1024),
    span = new U32Column(2048);
  /** Tree node of a flame node; inserts its ancestors first. */
  const nodeOf = (partition: number, flameNode: number): number => {
    const { tables, flame } = symbols.get(partition)!;
    let known = nodes.get(partition);
    if (!known) {
      nodes.set(partition, (known = new Int32Array(flame.parent.length).fill(-1)));
      known[0] = 0;
    }
    const path: number[] = [];
    let at = flameNode;
    while (known[at]! < 0) {
      path.push(at);
      at = flame.parent.data[at]!;
    }
    let node = known[at]!;
    for (let i = path.length - 1; i >= 0; i--) {
      const name = flame.name.data[path[i]!]!;
      known[path[i]!] = node = tree.childNode(
        node,
        tree.names.intern(tables.stringBytes, tables.stringOffset[name]!, tables.stringOffset[name + 1]!),
      );
    }
    return node;
  };
  const position = new Map<number, number>();
  await visitBatches(segment, ["samples", "spans", "ids", ...filterColumns(filter)], (t, batch) => {
    for (const { index, rows } of batch) {
      let own = position.get(index);
      if (own === undefined)
        position.set(
          index,
          (own =
            series.push(source.series[index]!.labels.map((l) => ({ name: l.name, value: l.value }))) - 1),
        );
      for (const r of rows) {
        const first = t.sampleStart[r]!,
          end = t.sampleEnd[r]!,
          spanStart = t.spanStart[r]!,
          partition = t.partition[r]!;
        const { flame } = symbols.get(partition)!,
          number = rowSeries.length;
        rowSeries.push(own);
        rowTime.push(t.timeNanos[r]!);
        const id = new DataView(t.id.buffer, t.id.byteOffset + 16 * r, 16);
        for (let w = 0; w < 16; w += 4) rowId.push(id.getUint32(w, true));
        for (let k = first; k < end; k++) {
          const at = 2 * (spanStart + k - first),
            low = spanStart < 0 ? 0 : t.spans[at]!,
            high = spanStart < 0 ? 0 : t.spans[at + 1]!;
          if (filter && !matchesSample(filter, t, r, k)) continue;
          row.push(number);
          stack.push(nodeOf(partition, flame.ofStack.data[t.stacktraceId[k]!]!));
          value.push(t.value[k]!);
          span.push(low);
          span.push(high);
        }
        checkCount(row.length);
      }
    }
  });
  return {
    series,
    rowSeries: rowSeries.view().slice(),
    rowTime: rowTime.data.slice(0, rowTime.length),
    rowId: new Uint8Array(rowId.view().slice().buffer),
    row: row.view().slice(),
    stack: stack.view().slice(),
    value: value.data.slice(0, value.length),
    span: span.view().slice(),
    tree: tree.finish(),
  };
}

/** Concatenates samples; stacks with equal names share a node. */
export function mergeSamples(parts: readonly PartialSamples[]): PartialSamples {
  if (parts.length === 1) return parts[0]!;
  const sum = (of: (p: PartialSamples) => number): number => parts.reduce((n, p) => n + of(p), 0),
    rows = sum((p) => p.rowSeries.length),
    samples = sum((p) => p.row.length);
  checkCount(samples);
  const tree = new TreeMerger(),
    series: Label[][] = [],
    known = new Map<string, number>();
  const out = {
    rowSeries: new Uint32Array(rows),
    rowTime: new BigInt64Array(rows),
    rowId: new Uint8Array(16 * rows),
    row: new Uint32Array(samples),
    stack: new Uint32Array(samples),
    value: new BigInt64Array(samples),
    span: new Uint32Array(2 * samples),
  };
  let r = 0,
    s = 0;
  for (const p of parts) {
    const nodes = tree.mapNodes(p.tree),
      own = p.series.map((labels) => {
        const key = labelsKey(labels),
          i = known.get(key) ?? series.push(labels) - 1;
        known.set(key, i);
        return i;
      });
    for (let i = 0; i < p.rowSeries.length; i++) out.rowSeries[r + i] = own[p.rowSeries[i]!]!;
    out.rowTime.set(p.rowTime, r);
    out.rowId.set(p.rowId, 16 * r);
    for (let i = 0; i < p.row.length; i++) {
      out.row[s + i] = p.row[i]! + r;
      out.stack[s + i] = nodes[p.stack[i]!]!;
    }
    out.value.set(p.value, s);
    out.span.set(p.span, 2 * s);
    r += p.rowSeries.length;
    s += p.row.length;
  }
  return { series, ...out, tree: tree.finish() };
}
