/**
 * Base of decoders for large messages: walks protobuf's wire format in place, without an object per message.
 * `end` is the end of the current message. Integers are two words, `lo` and `hi`.
 */
export abstract class WireReader {
  protected bytes: Uint8Array = new Uint8Array(0);
  protected pos = 0;
  /** the last varint as two words */
  protected lo = 0;
  protected hi = 0;

  /** Error of a decoder for bytes that are not its message. */
  protected abstract error(what: string): Error;

  /** Reads a varint into `lo` and `hi`; returns `lo` unsigned. */
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

  /** Reads the size of a bytes field, which lies inside the message. */
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
  protected asIndex(): number {
    return this.hi === 0 ? this.lo : 0xffffffff;
  }
  /** The 64 bits of the last varint as a signed integer. */
  protected bigInt64(): bigint {
    return BigInt.asIntN(64, (BigInt(this.hi) << 32n) | BigInt(this.lo));
  }

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
