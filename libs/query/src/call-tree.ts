import { ByteWriter } from "@cinderblock/bytes";
import { nthLargest } from "@cinderblock/columnar";
import { type ComparisonTree, nodeTotals } from "./comparison-tree.ts";
import { writeVarintField } from "./put-value.ts";

/**
 * Encodes cinderblock.explore.v1.CallTreeResponse: the `maxNodes` nodes with the largest share on either side
 * (0: all nodes), and for each the sum and number of its cut-off children.
 */
export function encodeCallTree(t: ComparisonTree, maxNodes: number): Uint8Array {
  const n = t.parent.length;
  const total = nodeTotals(t, t.self),
    baseTotal = t.base ? nodeTotals(t, t.base) : undefined;
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
  writeVarintField(out, 9, total[0]!);
  writeVarintField(out, 10, baseTotal?.[0] ?? 0n);
  writeVarintField(out, 11, BigInt(alive + 1));
  return out.transferBytes();
}
