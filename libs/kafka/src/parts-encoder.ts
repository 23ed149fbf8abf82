/** What kafkajs's encoder of its protocol has, as far as this changes it. */
export interface Encoder {
  /** what was written so far lies in [0, offset) */
  buf: Buffer;
  offset: number;
  readonly buffer: Buffer;
  size(): number;
  writeBufferInternal(bytes: Buffer): void;
  ensureAvailable(bytes: number): void;
  writeEncoder(value: Encoder): this;
  writeEncoderArray(value: readonly Encoder[]): this;
}

/** Bytes from which a buffer is referred to instead of copied, and the room an encoder begins with. */
const REFER = 1024,
  ROOM = 256;

/**
 * kafkajs's encoder, without its copies: a request is nested seven levels deep, and each level copied all below it into a
 * buffer of the next power of two, made of zeros. Here large buffers are referred to, and joined when a checksum or the
 * socket needs them in one piece. What is written must not change until then. The bytes are the same.
 */
export function partsEncoder(
  Base: new (initialSize: number) => Encoder,
): new (
  initialSize?: number,
) => Encoder {
  return class PartsEncoder extends Base {
    /** what comes before `buf` */
    private before: Buffer[] = [];
    private partBytes = 0;

    constructor() {
      super(0);
      this.buf = Buffer.allocUnsafe(ROOM);
    }

    override ensureAvailable(bytes: number): void {
      if (this.offset + bytes <= this.buf.length) return;
      this.closePart();
      this.buf = Buffer.allocUnsafe(Math.max(ROOM, bytes));
    }

    /** What was written becomes a part; the rest of its buffer is written to next. */
    private closePart(): void {
      if (this.offset === 0) return;
      this.before.push(this.buf.subarray(0, this.offset));
      this.partBytes += this.offset;
      this.buf = this.buf.subarray(this.offset);
      this.offset = 0;
    }

    override writeBufferInternal(bytes: Buffer): void {
      if (bytes.length < REFER) {
        this.ensureAvailable(bytes.length);
        bytes.copy(this.buf, this.offset);
        this.offset += bytes.length;
        return;
      }
      this.closePart();
      this.before.push(bytes);
      this.partBytes += bytes.length;
    }

    override get buffer(): Buffer {
      if (this.before.length === 0) return this.buf.subarray(0, this.offset);
      this.closePart();
      if (this.before.length > 1) this.before = [Buffer.concat(this.before, this.partBytes)];
      return this.before[0]!;
    }

    /** What was written, in pieces. */
    parts(): readonly Buffer[] {
      this.closePart();
      return this.before;
    }

    override size(): number {
      return this.partBytes + this.offset;
    }

    override writeEncoder(value: PartsEncoder): this {
      value.closePart();
      for (const p of value.before) this.writeBufferInternal(p);
      return this;
    }
    override writeEncoderArray(value: readonly PartsEncoder[]): this {
      for (const v of value) this.writeEncoder(v);
      return this;
    }
  } as never;
}
