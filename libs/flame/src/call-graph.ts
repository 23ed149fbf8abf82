import type { CallTree } from "./call-tree.ts";

/**
 * The largest functions and the calls between them. Recursion counts once: a value covers all samples with
 * the function, or the call, in their stack.
 */
export interface CallGraph {
  /** function -> name, self value, total value */
  names: string[];
  self: Float64Array;
  total: Float64Array;
  baseTotal: Float64Array | undefined;
  /** call -> caller and callee, value; 0 for a call that only the other side has */
  from: Uint32Array;
  to: Uint32Array;
  value: Float64Array;
  baseValue: Float64Array | undefined;
  /** total of all samples */
  sum: number;
  baseSum: number;
  /** number of functions that are not shown */
  left: number;
}

/**
 * Call graph of a tree. Cut-off calls count for their parent.
 * @param most maximum number of functions; those with the largest totals are kept
 */
export function callGraph(t: CallTree, most: number): CallGraph {
  const n = t.parent.length,
    below = new Float64Array(n),
    baseBelow = t.base ? new Float64Array(n) : undefined;
  for (let i = n - 1; i >= 0; i--) {
    below[i]! += t.self[i]! + t.folded[i]!;
    if (baseBelow) baseBelow[i]! += t.base!.self[i]! + t.base!.folded[i]!;
    if (i === 0) continue;
    below[t.parent[i]!]! += below[i]!;
    if (baseBelow) baseBelow[t.parent[i]!]! += baseBelow[i]!;
  }
  const size = t.names.length,
    self = new Float64Array(size),
    total = new Float64Array(size),
    baseTotal = t.base ? new Float64Array(size) : undefined;
  const calls = new Map<number, { value: number; base: number }>();
  for (let i = 1; i < n; i++) {
    const own = t.name[i]!,
      p = t.parent[i]!,
      caller = t.name[p]!;
    self[own]! += t.self[i]! + t.folded[i]!;
    let outermost = true,
      first = p > 0;
    for (let k = p; k > 0 && (outermost || first); k = t.parent[k]!) {
      if (t.name[k] !== own) continue;
      outermost = false;
      if (t.parent[k]! > 0 && t.name[t.parent[k]!] === caller) first = false;
    }
    if (outermost) {
      total[own]! += below[i]!;
      if (baseTotal) baseTotal[own]! += baseBelow![i]!;
    }
    if (!first) continue;
    const key = caller * size + own,
      call = calls.get(key);
    if (call) {
      call.value += below[i]!;
      call.base += baseBelow?.[i] ?? 0;
    } else calls.set(key, { value: below[i]!, base: baseBelow?.[i] ?? 0 });
  }
  const weight = (f: number): number => Math.max(total[f]!, baseTotal?.[f] ?? 0);
  const used = Array.from({ length: size }, (_, f) => f)
    .filter((f) => weight(f) > 0)
    .sort((a, b) => weight(b) - weight(a) || (t.names[a]! < t.names[b]! ? -1 : 1));
  const kept = used.slice(0, most),
    position = new Map(kept.map((f, i) => [f, i]));
  const edges = [...calls]
    .map(([key, c]) => ({ from: position.get(Math.floor(key / size)), to: position.get(key % size), ...c }))
    .filter(
      (e): e is { from: number; to: number; value: number; base: number } =>
        e.from !== undefined && e.to !== undefined && e.value + e.base > 0,
    )
    .sort((a, b) => b.value - a.value || a.from - b.from || a.to - b.to);
  const pick = (column: Float64Array): Float64Array => Float64Array.from(kept, (f) => column[f]!);
  return {
    names: kept.map((f) => t.names[f]!),
    self: pick(self),
    total: pick(total),
    baseTotal: baseTotal && pick(baseTotal),
    from: Uint32Array.from(edges, (e) => e.from),
    to: Uint32Array.from(edges, (e) => e.to),
    value: Float64Array.from(edges, (e) => e.value),
    baseValue: t.base && Float64Array.from(edges, (e) => e.base),
    sum: below[0]!,
    baseSum: baseBelow?.[0] ?? 0,
    left: used.length - kept.length,
  };
}
