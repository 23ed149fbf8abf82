import { type ByteWriter, ShortRead } from "@cinderblock/bytes";

/**
 * Decodes the levels of `count` entries into bytes, so that a page's levels are small compared to its values.
 * @param width bits per level: those of the column's maximum
 * @throws ShortRead for a width above 8, and as decodeHybrid does
 */
export function decodeLevels(
  bytes: Uint8Array,
  pos: number,
  end: number,
  width: number,
  count: number,
): Uint8Array {
  if (width > 8) throw new ShortRead(pos, `expected levels of at most eight bits, found ${width}`);
  return decodeHybrid(bytes, pos, end, width, count, new Uint8Array(count));
}

/**
 * Decodes `count` values of the RLE / bit-packing hybrid with `width` bits from bytes[pos, end). A sequence
 * of runs (Parquet, Encodings.md, "Run Length Encoding / Bit-Packing Hybrid"):
 *
 *   uvarint(run << 1)         | value in ceil(width / 8) bytes, LE         the value repeats `run` times
 *   uvarint(groups << 1 | 1)  | 8 * groups values of `width` bits          least significant bit first
 *
 * Values beyond `count` in the last group are ignored, and its missing padding is accepted.
 * @param out [count] of zeros; width 0 means that all values are 0 and reads nothing
 * @throws ShortRead for a run that is empty or ends after `end`
 */
export function decodeHybrid<T extends Uint32Array | Uint8Array = Uint32Array>(
  bytes: Uint8Array,
  pos: number,
  end: number,
  width: number,
  count: number,
  out = new Uint32Array(count) as T,
): T {
  if (width === 0) return out;
  let at = 0;
  const byteWidth = (width + 7) >>> 3;
  while (at < count) {
    let head = 0,
      shift = 0,
      b = 0;
    do {
      if (pos >= end || shift > 28) throw new ShortRead(pos, "expected the header of a run of levels");
      b = bytes[pos++]!;
      head |= (b & 127) << shift;
      shift += 7;
    } while (b > 127);
    head >>>= 0;
    if (head % 2 === 0) {
      const n = Math.min(head >>> 1, count - at);
      if (n === 0 || pos + byteWidth > end) throw new ShortRead(pos, "expected the value of a repeated run");
      let value = 0;
      for (let i = 0; i < byteWidth; i++) value |= bytes[pos++]! << (8 * i);
      if (value !== 0) out.fill(value >>> 0, at, at + n);
      at += n;
    } else {
      const groups = head >>> 1;
      const size = groups * width;
      if (groups === 0 || pos + Math.min(size, Math.ceil(((count - at) * width) / 8)) > end)
        throw new ShortRead(pos, "expected the bytes of a bit-packed run");
      const n = Math.min(groups * 8, count - at);
      if (width === 1) {
        for (let i = 0; i < n; i++) out[at++] = (bytes[pos + (i >>> 3)]! >>> (i & 7)) & 1;
      } else {
        const mask = width === 32 ? 0xffffffff : (1 << width) - 1;
        for (let i = 0, bit = 0; i < n; i++, bit += width) {
          let p = pos + (bit >>> 3);
          const s = bit & 7;
          let v = bytes[p]! >>> s;
          for (let have = 8 - s; have < width; have += 8) v |= (bytes[++p] ?? 0) << have;
          out[at++] = (v & mask) >>> 0;
        }
      }
      pos += size;
    }
  }
  return out;
}

/**
 * Appends values of `width` bits (at most 24): runs of eight or more as RLE, the rest bit-packed in groups of
 * eight.
 */
export function encodeHybrid(values: ArrayLike<number>, count: number, width: number, out: ByteWriter): void {
  if (width === 0) return;
  const byteWidth = (width + 7) >>> 3;
  let at = 0;
  let packedFrom = 0; // index of the first value that is not written yet
  const flushPacked = (to: number): void => {
    if (to === packedFrom) return;
    const groups = Math.ceil((to - packedFrom) / 8);
    out.uvarint(groups * 2 + 1);
    let acc = 0,
      bits = 0;
    out.reserve(groups * width);
    for (let i = 0; i < groups * 8; i++) {
      acc |= (packedFrom + i < count && packedFrom + i < to ? values[packedFrom + i]! : 0) << bits;
      bits += width;
      while (bits >= 8) {
        out.buffer[out.length++] = acc & 255;
        acc >>>= 8;
        bits -= 8;
      }
    }
    packedFrom = to;
  };
  while (at < count) {
    const v = values[at]!;
    let end = at + 1;
    while (end < count && values[end] === v) end++;
    // A packed group must hold a multiple of eight values unless it ends the column, so it borrows from this
    // run.
    const borrow = (8 - ((at - packedFrom) % 8)) % 8;
    if (end - at - borrow >= 8) {
      flushPacked(at + borrow);
      const n = end - at - borrow;
      out.uvarint(n * 2);
      for (let i = 0; i < byteWidth; i++) out.u8((v >>> (8 * i)) & 255);
      packedFrom = end;
    }
    at = end;
  }
  flushPacked(count);
}
