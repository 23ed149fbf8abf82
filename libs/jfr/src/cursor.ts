import { decodeUtf8, ShortRead } from "@cinderblock/bytes";

/**
 * A cursor over a chunk with JFR's primitives. Bytes of an integer come low end first, 7 bits each; floats
 * are big endian. Reads past `end` throw ShortRead with the position in `bytes`.
 *
 *   varint  | 1 x | 1 x | ... | 0 x |        at most nine bytes: the ninth has no flag and eight bits
 */
export class JfrCursor {
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  /** offset of the next read */
  pos: number;
  /** first offset after the event that is read */
  end: number;

  constructor(bytes: Uint8Array, pos: number, end: number) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.pos = pos;
    this.end = end;
  }

  /** Unread bytes of the event. */
  get left(): number {
    return this.end - this.pos;
  }

  /** Skips `n` bytes and returns the offset of the first one. */
  requireBytes(n: number): number {
    const at = this.pos;
    if (n < 0 || n > this.end - at) throw new ShortRead(at, `expected ${n} bytes, ${this.end - at} left`);
    this.pos = at + n;
    return at;
  }

  u8(): number {
    return this.bytes[this.requireBytes(1)]!;
  }
  f32(): number {
    return this.view.getFloat32(this.requireBytes(4));
  }
  f64(): number {
    return this.view.getFloat64(this.requireBytes(8));
  }

  /**
   * A varint as a number, exact below 2^53, which suffices for IDs and sizes. The ninth byte has eight bits.
   */
  long(): number {
    const { bytes } = this;
    let at = this.pos;
    if (at + 1 < this.end) {
      const a = bytes[at]!;
      if (a < 128) {
        this.pos = at + 1;
        return a;
      }
      const b = bytes[at + 1]!;
      if (b < 128) {
        this.pos = at + 2;
        return (b << 7) | (a & 127);
      }
    }
    let value = 0,
      scale = 1;
    for (let i = 0; i < 9; i++) {
      if (at >= this.end) throw new ShortRead(at, "integer is truncated");
      const b = bytes[at++]!;
      if (i === 8) {
        value += b * scale;
        break;
      }
      value += (b & 127) * scale;
      if (b < 128) break;
      scale *= 128;
    }
    this.pos = at;
    return value;
  }

  /** high word of the integer that `longWords` read last */
  high = 0;

  /** A varint of 64 bits: returns its low word and sets `high`. */
  longWords(): number {
    const { bytes } = this;
    let at = this.pos,
      low = 0,
      high = 0;
    for (let i = 0; i < 9; i++) {
      if (at >= this.end) throw new ShortRead(at, "expected the rest of an integer");
      const b = bytes[at++]!,
        bits = i === 8 ? b : b & 127,
        shift = 7 * i;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (b < 128) break;
    }
    this.pos = at;
    this.high = high >>> 0;
    return low >>> 0;
  }

  /** Skips a varint. */
  skipLong(): void {
    const { bytes } = this;
    let at = this.pos;
    const last = at + 8;
    for (;;) {
      if (at >= this.end) throw new ShortRead(at, "integer is truncated");
      if (bytes[at++]! < 128 || at > last) break;
    }
    this.pos = at;
  }

  /** A varint that may be negative: 64 bits of two's complement. */
  signedLong(): bigint {
    let value = 0n;
    for (let i = 0n; i < 9n; i++) {
      const b = BigInt(this.u8());
      if (i === 8n) {
        value |= b << 56n;
        break;
      }
      value |= (b & 127n) << (7n * i);
      if (b < 128n) break;
    }
    return BigInt.asIntN(64, value);
  }

  /**
   * A count of following items, each of at least one byte. Refuses more than the bytes left, so that callers
   * may allocate.
   */
  count(): number {
    const at = this.pos;
    const n = this.long();
    if (n > this.left) throw new ShortRead(at, `expected a count below ${this.left}, found ${n}`);
    return n;
  }

  /**
   * A string; undefined for null, a number for a reference to a string constant. The first byte is the
   * encoding, and 3 to 5 have a count next:
   *
   *   0 null | 1 empty | 2 reference varint | 3 UTF-8 | 4 chars, one varint each | 5 Latin-1
   */
  string(): string | number | undefined {
    const encoding = this.u8();
    switch (encoding) {
      case 0:
        return undefined;
      case 1:
        return "";
      case 2:
        return this.long();
      case 3: {
        const n = this.count();
        const at = this.requireBytes(n);
        return decodeUtf8(this.bytes, at, at + n);
      }
      case 4: {
        const n = this.count();
        let out = "";
        for (let i = 0; i < n; i++) out += String.fromCharCode(this.long() & 0xffff);
        return out;
      }
      case 5: {
        const n = this.count();
        const at = this.requireBytes(n);
        return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + at, n).toString("latin1");
      }
      default:
        throw new ShortRead(this.pos, `expected a string, found encoding ${encoding}`);
    }
  }

  /** Skips a string of any encoding. */
  skipString(): void {
    const encoding = this.u8();
    if (encoding <= 1) return;
    if (encoding === 2) this.skipLong();
    else if (encoding === 3 || encoding === 5) this.requireBytes(this.count());
    else if (encoding === 4) {
      for (let n = this.count(); n > 0; n--) this.skipLong();
    } else throw new ShortRead(this.pos, `expected a string, found encoding ${encoding}`);
  }
}
