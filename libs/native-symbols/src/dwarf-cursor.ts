import { decodeUtf8 } from "@cinderblock/bytes";
import { DebugFileError } from "./elf.ts";

/**
 * A cursor over a DWARF section [pos, end): little endian, sizes of 4 or 8 bytes. Reads past the end throw
 * DebugFileError with the section's name and the byte.
 */
export class DwarfCursor {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  pos: number;
  end: number;
  private readonly name: string;

  constructor(bytes: Uint8Array, name: string, pos = 0, end = bytes.length) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.name = name;
    this.pos = pos;
    this.end = end;
  }

  /** Throws DebugFileError for the current position. */
  refuse(what: string): never {
    throw new DebugFileError(`section ${this.name}, byte ${this.pos}: ${what}`);
  }
  /** Skips `n` bytes and returns the offset of the first one. */
  requireBytes(n: number): number {
    const at = this.pos;
    if (n < 0 || at + n > this.end) this.refuse(`expected ${n} bytes, ${Math.max(0, this.end - at)} left`);
    this.pos = at + n;
    return at;
  }
  get left(): number {
    return this.end - this.pos;
  }
  u8(): number {
    return this.bytes[this.requireBytes(1)]!;
  }
  i8(): number {
    return (this.u8() << 24) >> 24;
  }
  u16(): number {
    return this.view.getUint16(this.requireBytes(2), true);
  }
  u24(): number {
    const at = this.requireBytes(3);
    return this.bytes[at]! | (this.bytes[at + 1]! << 8) | (this.bytes[at + 2]! << 16);
  }
  u32(): number {
    return this.view.getUint32(this.requireBytes(4), true);
  }
  /** An unsigned integer of 8 bytes as a number, exact below 2^53. */
  u64(): number {
    const at = this.requireBytes(8);
    return this.view.getUint32(at + 4, true) * 4294967296 + this.view.getUint32(at, true);
  }
  /** An unsigned integer of 1, 2, 4 or 8 bytes. */
  uint(size: number): number {
    return size === 4
      ? this.u32()
      : size === 8
        ? this.u64()
        : size === 2
          ? this.u16()
          : size === 1
            ? this.u8()
            : this.refuse(`expected an integer of 1, 2, 4 or 8 bytes, found ${size}`);
  }

  /**
   * An address relative to `base`, exact even for 64-bit addresses; -1 for an address below `base` or 2^48
   * bytes above it.
   */
  address(size: number, base: bigint): number {
    if (size !== 8 || base === 0n) {
      const v = this.uint(size) - Number(base);
      return v < 0 ? -1 : v;
    }
    const v = this.view.getBigUint64(this.requireBytes(8), true) - base;
    return v < 0n || v > 0xffff_ffff_ffffn ? -1 : Number(v);
  }

  /**
   * Unsigned LEB128 (DWARF 5, chapter 7.6), exact below 2^53; larger ones are rounded.
   */
  uleb(): number {
    const { bytes } = this;
    let value = 0,
      scale = 1;
    for (let i = 0; ; i++) {
      const b = bytes[this.requireBytes(1)]!;
      if (i < 10) value += (b & 127) * scale;
      if (b < 128) return value;
      scale *= 128;
    }
  }

  /** Signed LEB128: bit 6 of the last byte is the sign. */
  sleb(): number {
    let value = 0,
      scale = 1;
    for (;;) {
      const b = this.u8();
      value += (b & 127) * scale;
      scale *= 128;
      if (b < 128) return (b & 64) !== 0 ? value - scale : value;
    }
  }

  /**
   * Length in bytes of a unit, and whether its offsets have 8 bytes (DWARF 5, chapter 7.4): ff ff ff ff
   * announces 64 bits.
   */
  initialLength(): { length: number; wide: boolean } {
    const n = this.u32();
    if (n < 0xffff_fff0) return { length: n, wide: false };
    if (n !== 0xffff_ffff) this.refuse(`expected a size, found ${n}`);
    return { length: this.u64(), wide: true };
  }

  /** A text that ends with a zero byte. */
  text(): string {
    const at = this.pos,
      zero = this.bytes.indexOf(0, at);
    if (zero < 0 || zero >= this.end) this.refuse("string has no NUL terminator");
    this.pos = zero + 1;
    return decodeUtf8(this.bytes, at, zero);
  }
  /** Skips a text. */
  skipText(): void {
    const zero = this.bytes.indexOf(0, this.pos);
    if (zero < 0 || zero >= this.end) this.refuse("string has no NUL terminator");
    this.pos = zero + 1;
  }
}
