import { encodeUtf8Into, utf8Length } from "./utf8.ts";

/**
 * Growable byte buffer. Capacity is checked once per call, not once per byte, and at least doubles when it is
 * short. Names say width and byte order as in ByteReader. Values that are too wide lose their upper bits.
 */
export class ByteWriter {
  /**
   * [capacity]; bytes [0, length) are written. Growing replaces the buffer, so that callers read it again
   * after a write
   */
  buffer: Uint8Array;
  /** over all of `buffer` */
  view: DataView;
  length = 0;

  constructor(capacity = 256) {
    this.buffer = new Uint8Array(capacity);
    this.view = new DataView(this.buffer.buffer);
  }

  /** Reserves space for `extra` more bytes, so that writes into `buffer` need no check. */
  reserve(extra: number): void {
    const needed = this.length + extra;
    if (needed <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(needed, this.buffer.length * 2));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
    this.view = new DataView(grown.buffer);
  }

  u8(value: number): void {
    this.reserve(1);
    this.buffer[this.length++] = value;
  }
  u16be(value: number): void {
    this.reserve(2);
    this.view.setUint16(this.length, value);
    this.length += 2;
  }
  u32be(value: number): void {
    this.reserve(4);
    this.view.setUint32(this.length, value);
    this.length += 4;
  }
  u64be(value: bigint): void {
    this.reserve(8);
    this.view.setBigUint64(this.length, BigInt.asUintN(64, value));
    this.length += 8;
  }
  u32le(value: number): void {
    this.reserve(4);
    this.view.setUint32(this.length, value, true);
    this.length += 4;
  }
  u64le(value: bigint): void {
    this.reserve(8);
    this.view.setBigUint64(this.length, BigInt.asUintN(64, value), true);
    this.length += 8;
  }
  f64le(value: number): void {
    this.reserve(8);
    this.view.setFloat64(this.length, value, true);
    this.length += 8;
  }

  /** LEB128 of a non-negative safe integer. */
  uvarint(value: number): void {
    this.reserve(10);
    const { buffer } = this;
    let at = this.length;
    if (value > 0xffffffff) {
      while (value > 0x7fffffff) {
        buffer[at++] = (value % 128) | 128;
        value = Math.floor(value / 128);
      }
    }
    while (value > 127) {
      buffer[at++] = (value & 127) | 128;
      value >>>= 7;
    }
    buffer[at++] = value;
    this.length = at;
  }

  /** LEB128 of the low 64 bits of `value`. */
  uvarint64(value: bigint): void {
    let v = BigInt.asUintN(64, value);
    if (v <= 0x1fffffffffffffn) {
      this.uvarint(Number(v));
      return;
    }
    this.reserve(10);
    while (v > 127n) {
      this.buffer[this.length++] = Number(v & 127n) | 128;
      v >>= 7n;
    }
    this.buffer[this.length++] = Number(v);
  }

  /** zig-zag + LEB128 of a signed 64-bit value. */
  varint64(value: bigint): void {
    this.uvarint64(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)));
  }

  /** The decimal digits of a safe integer or a bigint, as JSON writes them. */
  decimal(value: number | bigint): void {
    if (typeof value === "bigint") {
      this.utf8(value.toString());
      return;
    }
    this.reserve(20);
    let v = value;
    if (v < 0) {
      this.buffer[this.length++] = 45;
      v = -v;
    }
    if (v >= 1e9) {
      const high = Math.floor(v / 1e9);
      this.decimal(high);
      this.digits(v - high * 1e9, 9);
      return;
    }
    let size = 1;
    for (let limit = 10; v >= limit; limit *= 10) size++;
    this.digits(v, size);
  }

  /** The last `size` digits of a value below 10^9, with leading zeros. */
  private digits(value: number, size: number): void {
    this.reserve(size);
    const { buffer } = this;
    let v = value | 0;
    for (let at = this.length + size - 1; at >= this.length; at--) {
      const q = (v / 10) | 0;
      buffer[at] = 48 + v - q * 10;
      v = q;
    }
    this.length += size;
  }

  bytes(source: Uint8Array): void {
    this.reserve(source.length);
    this.buffer.set(source, this.length);
    this.length += source.length;
  }

  /** Raw UTF-8 bytes of `text`, without a length. */
  utf8(text: string): void {
    const size = utf8Length(text);
    this.reserve(size);
    encodeUtf8Into(text, this.buffer, this.length);
    this.length += size;
  }

  /** uvarint byte length, then the UTF-8 bytes. */
  str(text: string): void {
    this.uvarint(utf8Length(text));
    this.utf8(text);
  }

  zeros(count: number): void {
    this.reserve(count);
    this.buffer.fill(0, this.length, this.length + count);
    this.length += count;
  }

  /** Pads with zeros to a multiple of `alignment`. */
  align(alignment: number): void {
    const rest = this.length % alignment;
    if (rest !== 0) this.zeros(alignment - rest);
  }

  /** View of the written bytes, valid until the next write or `reset`. */
  finish(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }
  /**
   * Transfers the written bytes into a buffer of exactly that size, which can move to another thread. The
   * writer is empty afterwards.
   */
  transferBytes(): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array((this.buffer.buffer as ArrayBuffer).transfer(this.length));
    this.buffer = new Uint8Array(0);
    this.view = new DataView(this.buffer.buffer);
    this.length = 0;
    return out;
  }
  /** Copy of the written bytes, which the caller owns. */
  copy(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }
  /** Empties the writer and keeps its capacity; views from `finish` then show later writes. */
  reset(): void {
    this.length = 0;
  }
}
