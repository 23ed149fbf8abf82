/**
 * The 32-bit words of a column of 64-bit integers, low word first: value i is words [2i, 2i + 2). Shares its
 * memory.
 */
export function wordsOf(values: BigInt64Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
}

/**
 * Adds value `j` of `from` to value `i` of `to`, modulo 2^64; both are words of 64-bit integers. Avoids
 * BigInt: unoptimized code allocates a BigInt for each operation on a BigInt64Array.
 */
export function addInt64(to: Uint32Array, i: number, from: Uint32Array, j: number): void {
  const low = to[2 * i]! + from[2 * j]!;
  to[2 * i] = low;
  to[2 * i + 1] = to[2 * i + 1]! + from[2 * j + 1]! + (low > 0xffffffff ? 1 : 0);
}

/** Whether value `i` of `words`, read as signed, is below `limit`. */
export function isBelow(words: Uint32Array, i: number, limit: { high: number; low: number }): boolean {
  const high = words[2 * i + 1]! | 0;
  return high < limit.high || (high === limit.high && words[2 * i]! < limit.low);
}

/** The signed high and unsigned low word of a 64-bit integer, in the shape of `isBelow`'s limit. */
export function splitInt64(value: bigint): { high: number; low: number } {
  return { high: Number(BigInt.asIntN(64, value) >> 32n), low: Number(value & 0xffffffffn) };
}
