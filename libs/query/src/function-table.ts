import { UNPACED } from "@cinderblock/async";
import { ByteWriter } from "@cinderblock/bytes";
import { addInt64, wordsOf } from "@cinderblock/columnar";
import { textFilter } from "@cinderblock/model";
import { type ComparisonTree, outermostCalls, nodeTotals } from "./comparison-tree.ts";
import { writeVarintField } from "./put-value.ts";
import { LONG_NAME_BYTES, NAMES_BETWEEN_CHECKS } from "./stack-filter.ts";

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

/** Sums of all functions of two trees; recursion counts once. */
export function functionSums(t: ComparisonTree): FunctionSums {
  const names = t.nameOffset.length - 1,
    outer = outermostCalls(t);
  const side = (self: BigInt64Array): [BigInt64Array, BigInt64Array] => {
    const sums = new BigInt64Array(names),
      all = new BigInt64Array(names),
      total = nodeTotals(t, self);
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
export interface FunctionTablePage {
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
  page: FunctionTablePage,
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
      if ((i % NAMES_BETWEEN_CHECKS === 0 || text[i]!.length > LONG_NAME_BYTES) && pace.due())
        await pace.next();
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
    writeVarintField(row, 2, sums.self[i]!);
    writeVarintField(row, 3, sums.total[i]!);
    writeVarintField(row, 4, sums.baseSelf?.[i] ?? 0n);
    writeVarintField(row, 5, sums.baseTotal?.[i] ?? 0n);
    out.u8(10);
    out.uvarint(row.length);
    out.bytes(row.finish());
  }
  writeVarintField(out, 2, total);
  writeVarintField(out, 3, baseTotal);
  writeVarintField(out, 4, BigInt(count));
  writeVarintField(out, 5, BigInt(rows.length));
  return out.transferBytes();
}
