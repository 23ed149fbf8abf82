/** Row numbers 0..count-1 in the order of `compare`, stable. */
export function sortedIndex(count: number, compare: (a: number, b: number) => number): Uint32Array {
  const index = new Uint32Array(count);
  for (let i = 0; i < count; i++) index[i] = i;
  return index.sort((a, b) => compare(a, b) || a - b);
}

/** The `n`-th largest of `values` (1: the largest), the smallest when there are fewer. Partitions `values` in place: linear time. */
export function nthLargest(values: Float64Array, n: number): number {
  const wanted = Math.max(0, values.length - n);
  const range = { low: 0, high: values.length - 1 };
  while (range.low < range.high) partition(values, range, wanted);
  return values[wanted]!;
}

/** Narrows `range` to the side of a pivot that holds position `wanted`; a function of its own, so that its loops run compiled from the first call on. */
function partition(values: Float64Array, range: { low: number; high: number }, wanted: number): void {
  const { low, high } = range;
  const a = values[low]!, b = values[(low + high) >>> 1]!, c = values[high]!;
  const pivot = a < b ? (b < c ? b : Math.max(a, c)) : (a < c ? a : Math.max(b, c));
  let i = low, j = high;
  while (i <= j) {
    const x = values[i]!, y = values[j]!;
    if (x < pivot) { i++; continue; }
    if (y > pivot) { j--; continue; }
    values[i++] = y;
    values[j--] = x;
  }
  if (wanted <= j) range.high = j; else if (wanted >= i) range.low = i; else range.low = range.high = wanted;
}
