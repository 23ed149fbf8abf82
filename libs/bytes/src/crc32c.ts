/**
 * CRC-32 Castagnoli (reflected polynomial 0x82F63B78), eight bytes a step.
 * zlib.crc32 is the other polynomial (IEEE), which only Parquet pages use.
 */
const STEP = 8, BYTE = 256;
/** Of table `t` the entries from `t * 256`: one array, so that a step checks one length. */
const TABLES: Int32Array = (() => {
  const tables = new Int32Array(STEP * BYTE);
  for (let n = 0; n < BYTE; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
    tables[n] = c;
  }
  for (let at = BYTE; at < tables.length; at++) {
    const previous = tables[at - BYTE]!;
    tables[at] = tables[previous & 255]! ^ (previous >>> 8);
  }
  return tables;
})();

/** crc32c of `bytes[start, end)` as an unsigned number; `seed` continues an earlier one. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length, seed = 0): number {
  const t = TABLES, view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let c = ~seed, i = start;
  for (const last = end - STEP; i <= last; i += STEP) {
    const lo = c ^ view.getInt32(i, true), hi = view.getInt32(i + 4, true);
    c = t[7 * BYTE + (lo & 255)]! ^ t[6 * BYTE + ((lo >>> 8) & 255)]! ^ t[5 * BYTE + ((lo >>> 16) & 255)]! ^ t[4 * BYTE + (lo >>> 24)]!
      ^ t[3 * BYTE + (hi & 255)]! ^ t[2 * BYTE + ((hi >>> 8) & 255)]! ^ t[BYTE + ((hi >>> 16) & 255)]! ^ t[hi >>> 24]!;
  }
  for (; i < end; i++) c = t[(c ^ bytes[i]!) & 255]! ^ (c >>> 8);
  return ~c >>> 0;
}
