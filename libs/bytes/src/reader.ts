import { decodeUtf8 } from "./utf8.ts";

/** Thrown by ByteReader for a value that does not fit into the remaining bytes; callers add the file name. */
export class ShortRead extends Error {
  readonly at: number;
  constructor(at: number, wanted: string) {
    super(`${wanted} at byte ${at}`);
    this.name = "ShortRead";
    this.at = at;
  }
}

/** A cursor over bytes. Every read checks the remaining length. */
export class ByteReader {
  readonly bytes: Uint8Array;
  private words: DataView | undefined;
  pos: number;
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
  get left(): number {
    return this.end - this.pos;
  }

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

  /** LEB128, up to 2^53. */
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

  uvarint64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const b = this.u8();
      value |= BigInt(b & 127) << shift;
      if (b < 128) return BigInt.asUintN(64, value);
    }
    throw new ShortRead(this.pos, "expected a uvarint of at most 10 bytes");
  }

  varint64(): bigint {
    const v = this.uvarint64();
    return (v >> 1n) ^ -(v & 1n);
  }

  /** zig-zag varint that fits a safe integer. */
  varint(): number {
    const v = this.uvarint();
    return v % 2 === 0 ? v / 2 : -(v + 1) / 2;
  }

  /** A view of the next `count` bytes. */
  readBytes(count: number): Uint8Array {
    const at = this.requireBytes(count);
    return this.bytes.subarray(at, at + count);
  }
  str(): string {
    const n = this.uvarint();
    const at = this.requireBytes(n);
    return decodeUtf8(this.bytes, at, at + n);
  }
}
