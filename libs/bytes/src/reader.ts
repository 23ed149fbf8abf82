import { decodeUtf8 } from "./utf8.ts";

/**
 * Error for a value that does not fit into the remaining bytes, or that its format does not allow. `at` is
 * the byte offset in the reader's bytes; callers turn the error into a CorruptError with the file's name.
 */
export class ShortRead extends Error {
  readonly at: number;
  constructor(at: number, wanted: string) {
    super(`${wanted} at byte ${at}`);
    this.name = "ShortRead";
    this.at = at;
  }
}

/**
 * Cursor over bytes [pos, end). Every read checks the remaining length and moves `pos`; a read that fails
 * throws ShortRead. Names say width and byte order: `u32be` is unsigned, 32 bits, big endian.
 */
export class ByteReader {
  readonly bytes: Uint8Array;
  private words: DataView | undefined;
  /** offset of the next read in `bytes` */
  pos: number;
  /** first offset that no read may touch; callers narrow it for nested messages */
  end: number;

  constructor(bytes: Uint8Array, pos = 0, end = bytes.length) {
    // A Buffer's slice() is a view, a Uint8Array's is a copy: callers rely on the copy.
    this.bytes = Buffer.isBuffer(bytes)
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      : bytes;
    this.pos = pos;
    this.end = end;
  }

  /** DataView of the bytes, created on first use, because readers of small messages need none. */
  get view(): DataView {
    return (this.words ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength));
  }
  /** Unread bytes. */
  get left(): number {
    return this.end - this.pos;
  }

  /** Skips `count` bytes and returns the offset of the first one. `what` names the bytes in the error. */
  requireBytes(count: number, what = "bytes"): number {
    const at = this.pos;
    if (count < 0 || at + count > this.end)
      throw new ShortRead(at, `expected ${count} ${what}, ${this.end - at} left`);
    this.pos = at + count;
    return at;
  }

  u8(): number {
    return this.bytes[this.requireBytes(1)]!;
  }
  u16be(): number {
    return this.view.getUint16(this.requireBytes(2));
  }
  u32be(): number {
    return this.view.getUint32(this.requireBytes(4));
  }
  u64be(): bigint {
    return this.view.getBigUint64(this.requireBytes(8));
  }
  i64be(): bigint {
    return this.view.getBigInt64(this.requireBytes(8));
  }
  u32le(): number {
    return this.view.getUint32(this.requireBytes(4), true);
  }
  u64le(): bigint {
    return this.view.getBigUint64(this.requireBytes(8), true);
  }
  i64le(): bigint {
    return this.view.getBigInt64(this.requireBytes(8), true);
  }
  f64le(): number {
    return this.view.getFloat64(this.requireBytes(8), true);
  }

  /** Reads a u64 that must be a safe integer: an offset or a size. */
  size64be(): number {
    const at = this.pos;
    const value = this.u64be();
    if (value > 0x1fffffffffffffn) throw new ShortRead(at, `expected a size, found ${value}`);
    return Number(value);
  }

  /** LEB128 below 2^53: 7 bits per byte, low bits first, at most 8 bytes. */
  uvarint(): number {
    const { bytes, end } = this;
    let at = this.pos;
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      if (at >= end) break;
      const b = bytes[at++]!;
      value += (b & 127) * scale;
      if (b < 128) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        this.pos = at;
        return value;
      }
      scale *= 128;
    }
    throw new ShortRead(this.pos, "expected a uvarint below 2^53");
  }

  /** LEB128 of 64 bits, at most 10 bytes; bits above the 64th are dropped. */
  uvarint64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const b = this.u8();
      value |= BigInt(b & 127) << shift;
      if (b < 128) return BigInt.asUintN(64, value);
    }
    throw new ShortRead(this.pos, "expected a uvarint of at most 10 bytes");
  }

  /** Zig-zag LEB128 of a signed 64-bit value. */
  varint64(): bigint {
    const v = this.uvarint64();
    return (v >> 1n) ^ -(v & 1n);
  }

  /** Zig-zag LEB128 of a signed value that fits a safe integer. */
  varint(): number {
    const v = this.uvarint();
    return v % 2 === 0 ? v / 2 : -(v + 1) / 2;
  }

  /** View of the next `count` bytes, valid while the source is. */
  readBytes(count: number): Uint8Array {
    const at = this.requireBytes(count);
    return this.bytes.subarray(at, at + count);
  }
  /** Text: uvarint size in bytes, then UTF-8. */
  str(): string {
    const n = this.uvarint();
    const at = this.requireBytes(n);
    return decodeUtf8(this.bytes, at, at + n);
  }
}
