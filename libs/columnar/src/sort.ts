/** Row numbers 0..count-1, sorted by `compare` of row numbers; stable. O(n log n) calls. */
export function sortedIndex(count: number, compare: (a: number, b: number) => number): Uint32Array {
  const index = new Uint32Array(count);
  for (let i = 0; i < count; i++) index[i] = i;
  return index.sort((a, b) => compare(a, b) || a - b);
}

/**
 * The `n`-th largest of `values` (1: the largest), or the smallest if there are fewer. Partitions `values` in
 * place, in linear time for most lists and never slower than a sort. All pivots may be bad: a total before
 * ascending parts yields the maximum as pivot each time. So the rest is sorted after a bounded number of
 * partitions.
 */
export function nthLargest(values: Float64Array, n: number): number {
  const wanted = Math.max(0, values.length - n);
  const range = { low: 0, high: values.length - 1 };
  for (let left = 2 * (32 - Math.clz32(values.length)); range.low < range.high; left--) {
    if (left === 0) {
      values.subarray(range.low, range.high + 1).sort();
      break;
    }
    partition(values, range, wanted);
  }
  return values[wanted]!;
}

/**
 * Narrows `range` to the side of a pivot that contains the position `wanted`. A separate function, so that
 * its loops run compiled from the first call on.
 */
function partition(values: Float64Array, range: { low: number; high: number }, wanted: number): void {
  const { low, high } = range;
  const a = values[low]!,
    b = values[(low + high) >>> 1]!,
    c = values[high]!;
  const pivot = a < b ? (b < c ? b : Math.max(a, c)) : a < c ? a : Math.max(b, c);
  let i = low,
    j = high;
  while (i <= j) {
    const x = values[i]!,
      y = values[j]!;
    if (x < pivot) {
      i++;
      continue;
    }
    if (y > pivot) {
      j--;
      continue;
    }
    values[i++] = y;
    values[j--] = x;
  }
  if (wanted <= j) range.high = j;
  else if (wanted >= i) range.low = i;
  else range.low = range.high = wanted;
}

/** Counters of one radix pass: 2^11 digits and one more. Shared, because no pass yields to other code. */
const COUNTS = new Uint32Array(2049);

/**
 * Positions 0..n-1 by ascending value; stable. A radix sort with digits of 8 or 11 bits, so the time is
 * linear. Skips all work if the values already ascend.
 * @returns [n] -> position in `values`
 */
export function sortedOrder(values: Uint32Array): Uint32Array {
  const n = values.length,
    order = new Uint32Array(n);
  let max = 0,
    ascending = true;
  for (let i = 0; i < n; i++) {
    const v = values[i]!;
    order[i] = i;
    if (v < max) ascending = false;
    else max = v;
  }
  if (ascending) return order;
  // A direct sort is faster than counting for few values: value and position fit into one double.
  if (n < 100) {
    const keys = new Float64Array(n);
    for (let i = 0; i < n; i++) keys[i] = values[i]! * 128 + i;
    keys.sort();
    for (let i = 0; i < n; i++) order[i] = keys[i]! % 128;
    return order;
  }
  const bits = n < 1000 ? 8 : 11;
  let from = order,
    to = new Uint32Array(n);
  for (let shift = 0; shift < 32 && max >>> shift > 0; shift += bits) {
    countDigits(values, from, to, shift, bits);
    [from, to] = [to, from];
  }
  return from;
}

/**
 * Positions by ascending value, where `compare` orders the positions of equal values; positions that compare
 * as equal keep their order.
 * @returns [n] -> position in `values`
 */
export function positionsByValue(
  values: Uint32Array,
  compare: (a: number, b: number) => number,
): Uint32Array {
  const order = sortedOrder(values),
    n = order.length;
  for (let from = 0, to = 1; from < n; from = to++) {
    const value = values[order[from]!]!;
    while (to < n && values[order[to]!] === value) to++;
    if (to - from > 1) order.subarray(from, to).sort((a, b) => compare(a, b) || a - b);
  }
  return order;
}

/** Stable counting sort of positions by one digit of their values: bits [shift, shift + bits). */
function countDigits(
  values: Uint32Array,
  from: Uint32Array,
  to: Uint32Array,
  shift: number,
  bits: number,
): void {
  const buckets = 1 << bits,
    mask = buckets - 1,
    n = from.length;
  // Count into the next bucket, then add up: COUNTS[k] is the first position of digit k in `to`.
  COUNTS.fill(0, 0, buckets + 1);
  for (let i = 0; i < n; i++) COUNTS[((values[i]! >>> shift) & mask) + 1]!++;
  for (let k = 0; k < buckets; k++) COUNTS[k + 1]! += COUNTS[k]!;
  for (let i = 0; i < n; i++) {
    const p = from[i]!;
    to[COUNTS[(values[p]! >>> shift) & mask]!++] = p;
  }
}
