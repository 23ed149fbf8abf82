/**
 * CRC-32 Castagnoli (reflected polynomial 0x82F63B78), eight bytes a step.
 * zlib.crc32 is the other polynomial (IEEE), which only Parquet pages use.
 */
const TABLES: Int32Array[] = (() => {
  const tables: Int32Array[] = [];
  const first = new Int32Array(256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
    first[n] = c;
  }
  tables.push(first);
  for (let t = 1; t < 8; t++) {
    const previous = tables[t - 1]!;
    const table = new Int32Array(256);
    for (let n = 0; n < 256; n++) table[n] = first[previous[n]! & 255]! ^ (previous[n]! >>> 8);
    tables.push(table);
  }
  return tables;
})();

/** crc32c of `bytes[start, end)` as an unsigned number; `seed` continues an earlier one. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length, seed = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as [Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array];
  let c = ~seed;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    const lo = c ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24));
    c = t7![lo & 255]! ^ t6![(lo >>> 8) & 255]! ^ t5![(lo >>> 16) & 255]! ^ t4![lo >>> 24]!
      ^ t3![bytes[i + 4]!]! ^ t2![bytes[i + 5]!]! ^ t1![bytes[i + 6]!]! ^ t0![bytes[i + 7]!]!;
  }
  for (; i < end; i++) c = t0![(c ^ bytes[i]!) & 255]! ^ (c >>> 8);
  return ~c >>> 0;
}
