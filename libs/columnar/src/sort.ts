/** Row numbers 0..count-1 in the order of `compare`, stable. */
export function sortedIndex(count: number, compare: (a: number, b: number) => number): Uint32Array {
  const index = new Uint32Array(count);
  for (let i = 0; i < count; i++) index[i] = i;
  return index.sort((a, b) => compare(a, b) || a - b);
}

/** The `n`-th largest of `values` (1: the largest), the smallest when there are fewer. Partitions `values` in place: linear time. */
export function nthLargest(values: Float64Array, n: number): number {
  const wanted = Math.max(0, values.length - n);
  let low = 0, high = values.length - 1;
  while (low < high) {
    const a = values[low]!, b = values[(low + high) >>> 1]!, c = values[high]!;
    const pivot = a < b ? (b < c ? b : Math.max(a, c)) : (a < c ? a : Math.max(b, c));
    let i = low, j = high;
    while (i <= j) {
      while (values[i]! < pivot) i++;
      while (values[j]! > pivot) j--;
      if (i <= j) { const v = values[i]!; values[i++] = values[j]!; values[j--] = v; }
    }
    if (wanted <= j) high = j; else if (wanted >= i) low = i; else break;
  }
  return values[wanted]!;
}
