/** Row numbers 0..count-1 in the order of `compare`, stable. */
export function sortedIndex(count: number, compare: (a: number, b: number) => number): Uint32Array {
  const index = new Uint32Array(count);
  for (let i = 0; i < count; i++) index[i] = i;
  return index.sort((a, b) => compare(a, b) || a - b);
}
