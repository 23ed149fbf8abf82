import type { ByteReader } from "./reader.ts";
import { ShortRead } from "./reader.ts";
import type { ByteWriter } from "./writer.ts";

/**
 * DELTA_BINARY_PACKED of Parquet (Encodings.md, "Delta Encoding"), which symdb v3 uses as well:
 *
 *   uvarint 128 | uvarint 4 | uvarint count | varint first | block ...       a count below 2 ends here
 *   block: varint minDelta | 4 bit widths <1b> | 4 mini-blocks of 32 values, 4 * width bytes each
 *
 * A stored value is delta - minDelta, thus never negative, least significant bit first. An incomplete block
 * keeps all four widths: an unused mini-block has width 0 and no bytes, a partly used one is complete.
 * Format: docs/formats/symbols-symdb.md#delta-packing
 */
const BLOCK = 128;
/** Values per mini-block. */
const MINI = 32;
const TWO32 = 4294967296;
/** Below this, sums and differences of two values are exact in a double. */
const EXACT = 2 ** 51;

/**
 * Bit writer, least significant bit first. The accumulator is a 32-bit integer, so that at most 24 bits enter
 * at once next to the 7 that may be left.
 */
class BitSink {
  private acc = 0;
  private bits = 0;
  private readonly out: ByteWriter;
  constructor(out: ByteWriter) {
    this.out = out;
  }

  /** Appends the low `width` (at most 24) bits of `value`. */
  private small(value: number, width: number): void {
    this.acc |= value << this.bits;
    this.bits += width;
    const { out } = this;
    while (this.bits >= 8) {
      out.buffer[out.length++] = this.acc & 255;
      this.acc >>>= 8;
      this.bits -= 8;
    }
  }

  /** Appends `width` bits of the pair (lo, hi), both unsigned. The caller has reserved the space. */
  put(lo: number, hi: number, width: number): void {
    if (width <= 24) {
      this.small(lo & ((1 << width) - 1), width);
      return;
    }
    this.small(lo & 0xffff, 16);
    if (width <= 32) {
      this.small((lo >>> 16) & ((1 << (width - 16)) - 1), width - 16);
      return;
    }
    this.small(lo >>> 16, 16);
    const rest = width - 32;
    if (rest <= 16) {
      this.small(hi & ((1 << rest) - 1), rest);
      return;
    }
    this.small(hi & 0xffff, 16);
    if (rest > 16) this.small(rest === 32 ? hi >>> 16 : (hi >>> 16) & ((1 << (rest - 16)) - 1), rest - 16);
  }

  /** Starts the next mini-block. Nothing is lost: 32 values of any width end at a byte. */
  reset(): void {
    this.acc = 0;
    this.bits = 0;
  }
}

// Bits of a non-negative value below 2^53.
function bitLength(value: number): number {
  return value < TWO32 ? 32 - Math.clz32(value) : 64 - Math.clz32(Math.floor(value / TWO32));
}

/**
 * Packs values that a double holds exactly. `wrap32` selects 32-bit arithmetic, as in the Go int32 encoder.
 */
function packNumbers(get: (i: number) => number, count: number, out: ByteWriter, wrap32: boolean): void {
  out.uvarint(BLOCK);
  out.uvarint(4);
  out.uvarint(count);
  const first = count > 0 ? get(0) : 0;
  out.uvarint(first >= 0 ? first * 2 : -first * 2 - 1);
  if (count < 2) return;
  const deltas = new Float64Array(BLOCK);
  const sink = new BitSink(out);
  const widths = [0, 0, 0, 0];
  let previous = first;
  for (let at = 1; at < count; at += BLOCK) {
    const n = Math.min(BLOCK, count - at);
    let min = Infinity;
    for (let i = 0; i < n; i++) {
      const value = get(at + i);
      const d = wrap32 ? (value - previous) | 0 : value - previous;
      previous = value;
      deltas[i] = d;
      if (d < min) min = d;
    }
    if (n < BLOCK) {
      // Like the Go encoder: the rest of the block counts as deltas of a block padded with zeros.
      const tail = wrap32 ? -previous | 0 : -previous;
      if (tail < min) min = tail;
      if (n + 1 < BLOCK && min > 0) min = 0;
    }
    out.uvarint(min >= 0 ? min * 2 : -min * 2 - 1);
    for (let m = 0; m < 4; m++) {
      let max = 0;
      const from = m * MINI,
        to = Math.min(from + MINI, n);
      for (let i = from; i < to; i++) {
        const d = wrap32 ? (deltas[i]! - min) >>> 0 : deltas[i]! - min;
        deltas[i] = d;
        if (d > max) max = d;
      }
      widths[m] = bitLength(max);
      out.u8(widths[m]!);
    }
    out.reserve(BLOCK * 8);
    for (let m = 0; m < 4; m++) {
      const width = widths[m]!;
      if (width === 0) continue;
      sink.reset();
      const from = m * MINI;
      for (let i = from; i < from + MINI; i++) {
        const d = i < n ? deltas[i]! : 0;
        const hi = d < TWO32 ? 0 : Math.floor(d / TWO32);
        sink.put(hi === 0 ? d | 0 : (d - hi * TWO32) | 0, hi, width);
      }
    }
  }
}

/**
 * Packs values beyond the exact range of doubles; deltas and their offsets wrap at 64 bits. The minimum of
 * the last block is not padded as in packNumbers: any lower bound decodes to the same values.
 */
function packBigInts(values: BigInt64Array, count: number, out: ByteWriter): void {
  out.uvarint(BLOCK);
  out.uvarint(4);
  out.uvarint(count);
  out.varint64(count > 0 ? values[0]! : 0n);
  const deltas = new BigInt64Array(BLOCK);
  const sink = new BitSink(out);
  for (let at = 1; at < count; at += BLOCK) {
    const n = Math.min(BLOCK, count - at);
    let min: bigint | undefined;
    for (let i = 0; i < n; i++) {
      deltas[i] = values[at + i]! - values[at + i - 1]!;
      if (min === undefined || deltas[i]! < min) min = deltas[i]!;
    }
    const low = min!;
    out.varint64(low);
    const widths = [0, 0, 0, 0];
    for (let m = 0; m < 4; m++) {
      let max = 0n;
      for (let i = m * MINI; i < Math.min(m * MINI + MINI, n); i++) {
        const d = BigInt.asUintN(64, deltas[i]! - low);
        deltas[i] = BigInt.asIntN(64, d);
        if (d > max) max = d;
      }
      widths[m] = max === 0n ? 0 : max.toString(2).length;
      out.u8(widths[m]!);
    }
    out.reserve(BLOCK * 8);
    for (let m = 0; m < 4; m++) {
      if (widths[m] === 0) continue;
      sink.reset();
      for (let i = m * MINI; i < (m + 1) * MINI; i++) {
        const d = i < n ? BigInt.asUintN(64, deltas[i]!) : 0n;
        sink.put(Number(d & 0xffffffffn) | 0, Number(d >> 32n), widths[m]!);
      }
    }
  }
}

/**
 * Appends `count` 32-bit values; u32 values from 2^31 on are written as negative values. O(count); 8 bytes of
 * memory for each of 128 deltas.
 */
export function deltaPackInt32(values: ArrayLike<number>, count: number, out: ByteWriter): void {
  packNumbers((i) => values[i]! | 0, count, out, true);
}

/**
 * Appends `count` 64-bit values. Uses doubles where they are exact, BigInt otherwise. Values of a
 * Float64Array must be safe integers.
 */
export function deltaPackInt64(
  values: BigInt64Array | BigUint64Array | Uint32Array | Float64Array,
  count: number,
  out: ByteWriter,
): void {
  if (values instanceof Uint32Array || values instanceof Float64Array) {
    packNumbers((i) => values[i]!, count, out, false);
    return;
  }
  const words = new Int32Array(values.buffer, values.byteOffset, count * 2);
  for (let i = 0; i < count; i++) {
    const hi = words[2 * i + 1]!;
    if (hi >= 0x80000 || hi < -0x80000) {
      packBigInts(new BigInt64Array(values.buffer, values.byteOffset, count), count, out);
      return;
    }
  }
  packNumbers((i) => words[2 * i + 1]! * TWO32 + (words[2 * i]! >>> 0), count, out, false);
}

/**
 * Maximum number of values that a packed column may claim, so that a broken header cannot request much
 * memory.
 */
export interface DeltaBounds {
  max: number;
}

/**
 * Header of a packed column: values per block, mini-blocks per block, values in total, values per mini-block.
 */
interface Header {
  block: number;
  minis: number;
  count: number;
  perMini: number;
}

// Accepts block sizes of other writers: multiples of 128 up to 65,536, with mini-blocks of a multiple of
// 32.
function header(r: ByteReader, bounds: DeltaBounds): Header {
  const block = r.uvarint(),
    minis = r.uvarint(),
    count = r.uvarint();
  if (block === 0 || block > 65536 || block % 128 !== 0)
    throw new ShortRead(r.pos, `expected a delta block size, found ${block}`);
  if (minis === 0 || block % minis !== 0 || (block / minis) % 32 !== 0)
    throw new ShortRead(r.pos, `expected a number of mini-blocks, found ${minis}`);
  if (count > bounds.max)
    throw new ShortRead(r.pos, `expected at most ${bounds.max} packed values, found ${count}`);
  return { block, minis, count, perMini: block / minis };
}

/** Low 32 bits of the `width`-bit value that starts at bit `bit` of `bytes`; `width` is at most 32. */
function bits32(bytes: Uint8Array, bit: number, width: number): number {
  let at = bit >>> 3;
  const shift = bit & 7;
  let value = bytes[at]! >>> shift;
  let have = 8 - shift;
  while (have < width) {
    const b = bytes[++at]!;
    value |= b << have;
    have += 8;
    if (have > 32) break;
  }
  return width === 32 ? value >>> 0 : (value & ((1 << width) - 1)) >>> 0;
}

/**
 * Reads one packed column of 32-bit values and leaves the cursor after it; arithmetic wraps at 32 bits.
 * @returns [count], with the count of the column's header
 * @throws ShortRead for a count above `bounds.max`, an unknown block shape, a width above 32, or too few
 * bytes
 */
export function deltaUnpackInt32(r: ByteReader, bounds: DeltaBounds): Int32Array {
  const h = header(r, bounds);
  const out = new Int32Array(h.count);
  const first = r.varint64();
  if (h.count === 0) return out;
  let value = Number(BigInt.asIntN(32, first));
  out[0] = value;
  let at = 1;
  while (at < h.count) {
    const min = Number(BigInt.asIntN(32, r.varint64()));
    const widths = r.readBytes(h.minis);
    for (let m = 0; m < h.minis && at < h.count; m++) {
      const width = widths[m]!;
      if (width > 32) throw new ShortRead(r.pos, `expected a bit width of at most 32, found ${width}`);
      const n = Math.min(h.perMini, h.count - at);
      if (width === 0) {
        for (let i = 0; i < n; i++) {
          value = (value + min) | 0;
          out[at++] = value;
        }
        continue;
      }
      const data = r.readBytes((h.perMini / 8) * width);
      for (let i = 0, bit = 0; i < n; i++, bit += width) {
        value = (value + min + bits32(data, bit, width)) | 0;
        out[at++] = value;
      }
    }
  }
  return out;
}

/**
 * Reads one packed column of 64-bit values and leaves the cursor after it; arithmetic wraps at 64 bits.
 * @returns [count], with the count of the column's header
 * @throws ShortRead for a count above `bounds.max`, an unknown block shape, a width above 64, or too few
 * bytes
 */
export function deltaUnpackInt64(r: ByteReader, bounds: DeltaBounds): BigInt64Array {
  const h = header(r, bounds);
  const out = new BigInt64Array(h.count);
  // Values within ±2^51 are safe: their high word decides, and the difference of two is exact in a double.
  const words = new Int32Array(out.buffer);
  const first = r.varint64();
  if (h.count === 0) return out;
  out[0] = first;
  // Either `value` is exact in a double, or `big` continues in 64 bits from there on.
  let value = Number(first);
  let exact = Math.abs(value) < EXACT;
  let big = first;
  let at = 1;
  while (at < h.count) {
    const minBig = r.varint64();
    const min = Number(minBig);
    const widths = r.readBytes(h.minis);
    for (let m = 0; m < h.minis && at < h.count; m++) {
      const width = widths[m]!;
      if (width > 64) throw new ShortRead(r.pos, `expected a bit width of at most 64, found ${width}`);
      const data = width === 0 ? r.bytes : r.readBytes((h.perMini / 8) * width);
      const n = Math.min(h.perMini, h.count - at);
      if (exact && (width > 50 || Math.abs(min) >= EXACT)) {
        exact = false;
        big = BigInt(value);
      }
      for (let i = 0, bit = 0; i < n; i++, bit += width) {
        const lo = width === 0 ? 0 : bits32(data, bit, width > 32 ? 32 : width);
        const hi = width > 32 ? bits32(data, bit + 32, width - 32) : 0;
        if (exact) {
          value += min + lo + hi * TWO32;
          const high = Math.floor(value / TWO32);
          words[2 * at] = value - high * TWO32;
          words[2 * at + 1] = high;
          if (value > EXACT || value < -EXACT) {
            exact = false;
            big = BigInt(value);
          }
        } else {
          big = BigInt.asIntN(64, big + minBig + (BigInt(hi) << 32n) + BigInt(lo));
          out[at] = big;
        }
        at++;
      }
    }
  }
  return out;
}
