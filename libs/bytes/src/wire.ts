/**
 * Base of decoders for large messages: walks protobuf's wire format in place, without an object per message.
 * `end` is the end of the current message. Integers are two words, `lo` and `hi`, both unsigned.
 *
 *   field: varint tag = number << 3 | wire type, then by wire type
 *     0 varint | 1 eight bytes | 2 varint size, bytes | 5 four bytes | 3, 4 groups: refused
 *
 * Subclasses read tags and fields in a loop until `end`, and call `skip` for unknown ones.
 */
export abstract class WireReader {
  protected bytes: Uint8Array = new Uint8Array(0);
  protected pos = 0;
  /** the last varint as two words */
  protected lo = 0;
  protected hi = 0;

  /**
   * Creates the error for bytes that are not the decoder's message. The texts of `what` are those of Go's
   * generated protobuf code, because clients of v1 know them.
   */
  protected abstract error(what: string): Error;

  /**
   * Reads a varint of at most 10 bytes into `lo` and `hi`; returns `lo`. One byte, the usual case, takes a
   * short path.
   */
  protected varint(end: number): number {
    const { bytes } = this;
    let pos = this.pos;
    let b = pos < end ? bytes[pos++]! : 256;
    if (b < 128) {
      this.pos = pos;
      this.lo = b;
      this.hi = 0;
      return b;
    }
    let lo = 0,
      hi = 0;
    for (let shift = 0; ; shift += 7) {
      if (b > 255) throw this.error("unexpected EOF");
      const part = b & 127;
      if (shift < 28) lo |= part << shift;
      else if (shift === 28) {
        lo |= part << 28;
        hi = part >>> 4;
      } else if (shift < 63) hi |= part << (shift - 32);
      else if (shift === 63) hi |= (part & 1) << 31;
      else throw this.error("integer overflow");
      if (b < 128) break;
      b = pos < end ? bytes[pos++]! : 256;
    }
    this.pos = pos;
    this.lo = lo >>> 0;
    this.hi = hi >>> 0;
    return this.lo;
  }

  /**
   * Reads the size in bytes of a length-delimited field, and checks that the field lies inside of the
   * message.
   */
  protected size(end: number): number {
    this.varint(end);
    if (this.hi !== 0 || this.lo > end - this.pos) throw this.error("unexpected EOF");
    return this.lo;
  }

  /**
   * Reads an index into a table. An impossible index becomes 0xffffffff, which readers of the table refuse.
   */
  protected index(end: number): number {
    this.varint(end);
    return this.asIndex();
  }
  /** The last varint as an index. */
  protected asIndex(): number {
    return this.hi === 0 ? this.lo : 0xffffffff;
  }
  /** The 64 bits of the last varint as a signed integer. */
  protected bigInt64(): bigint {
    return BigInt.asIntN(64, (BigInt(this.hi) << 32n) | BigInt(this.lo));
  }

  /**
   * Skips the value of an unknown field of wire type `wire`. Groups are an error: no message here has them.
   */
  protected skip(wire: number, end: number): void {
    switch (wire) {
      case 0:
        this.varint(end);
        return;
      case 1:
        this.pos += 8;
        break;
      case 2: {
        const n = this.size(end);
        this.pos += n;
        break;
      }
      case 5:
        this.pos += 4;
        break;
      case 4:
        throw this.error("wiretype end group for non-group");
      default:
        throw this.error(`illegal wireType ${wire}`);
    }
    if (this.pos > end) throw this.error("unexpected EOF");
  }
}
