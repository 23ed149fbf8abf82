/**
 * CRC-32 Castagnoli (reflected polynomial 0x82F63B78), eight bytes per step. zlib.crc32 uses the other
 * polynomial (IEEE), which only Parquet pages use.
 */
const STEP = 8,
  BYTE = 256;
/** Table `t` has the entries from `t * 256`: one array, so that a step needs one bounds check. */
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

/**
 * Two blocks of this size are processed at once, because each step depends on the previous step of its block.
 */
const BLOCK = 1024;
/** Effect of `BLOCK` following zeros on a checksum, by its bytes: byte `k` has the entries from `k * 256`. */
const SHIFTED: Int32Array = (() => {
  const shifted = new Int32Array(4 * BYTE);
  for (let bit = 0; bit < 32; bit++) {
    let c = 1 << bit;
    for (let i = 0; i < BLOCK; i++) c = TABLES[c & 255]! ^ (c >>> 8);
    const own = 1 << (bit & 7);
    for (let b = 0; b < BYTE; b++) if (b & own) shifted[(bit >>> 3) * BYTE + b]! ^= c;
  }
  return shifted;
})();

/**
 * crc32c of `bytes[start, end)` as an unsigned 32-bit number, O(n). Files of this project store it in 4
 * bytes, big endian.
 * @param seed checksum of the bytes before, to continue with: crc32c(ab) = crc32c(b, …, crc32c(a))
 */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length, seed = 0): number {
  const t = TABLES,
    s = SHIFTED,
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let c = ~seed,
    i = start;
  // Two independent checksums, `c` and `d`, of neighboring blocks; `c` then moves over the second block.
  for (const last = end - 2 * BLOCK; i <= last; i += BLOCK) {
    let d = 0;
    for (const to = i + BLOCK; i < to; i += STEP) {
      const lo = c ^ view.getInt32(i, true),
        hi = view.getInt32(i + 4, true),
        lo2 = d ^ view.getInt32(i + BLOCK, true),
        hi2 = view.getInt32(i + BLOCK + 4, true);
      c =
        t[7 * BYTE + (lo & 255)]! ^
        t[6 * BYTE + ((lo >>> 8) & 255)]! ^
        t[5 * BYTE + ((lo >>> 16) & 255)]! ^
        t[4 * BYTE + (lo >>> 24)]! ^
        t[3 * BYTE + (hi & 255)]! ^
        t[2 * BYTE + ((hi >>> 8) & 255)]! ^
        t[BYTE + ((hi >>> 16) & 255)]! ^
        t[hi >>> 24]!;
      d =
        t[7 * BYTE + (lo2 & 255)]! ^
        t[6 * BYTE + ((lo2 >>> 8) & 255)]! ^
        t[5 * BYTE + ((lo2 >>> 16) & 255)]! ^
        t[4 * BYTE + (lo2 >>> 24)]! ^
        t[3 * BYTE + (hi2 & 255)]! ^
        t[2 * BYTE + ((hi2 >>> 8) & 255)]! ^
        t[BYTE + ((hi2 >>> 16) & 255)]! ^
        t[hi2 >>> 24]!;
    }
    c =
      s[c & 255]! ^
      s[BYTE + ((c >>> 8) & 255)]! ^
      s[2 * BYTE + ((c >>> 16) & 255)]! ^
      s[3 * BYTE + (c >>> 24)]! ^
      d;
  }
  for (const last = end - STEP; i <= last; i += STEP) {
    const lo = c ^ view.getInt32(i, true),
      hi = view.getInt32(i + 4, true);
    c =
      t[7 * BYTE + (lo & 255)]! ^
      t[6 * BYTE + ((lo >>> 8) & 255)]! ^
      t[5 * BYTE + ((lo >>> 16) & 255)]! ^
      t[4 * BYTE + (lo >>> 24)]! ^
      t[3 * BYTE + (hi & 255)]! ^
      t[2 * BYTE + ((hi >>> 8) & 255)]! ^
      t[BYTE + ((hi >>> 16) & 255)]! ^
      t[hi >>> 24]!;
  }
  for (; i < end; i++) c = t[(c ^ bytes[i]!) & 255]! ^ (c >>> 8);
  return ~c >>> 0;
}
