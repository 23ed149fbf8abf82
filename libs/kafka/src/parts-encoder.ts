/** The members of kafkajs's protocol encoder that this class changes. */
export interface KafkajsEncoder {
  /** the bytes written so far lie in [0, offset) */
  buf: Buffer;
  offset: number;
  readonly buffer: Buffer;
  size(): number;
  writeBufferInternal(bytes: Buffer): void;
  ensureAvailable(bytes: number): void;
  writeEncoder(value: KafkajsEncoder): this;
  writeEncoderArray(value: readonly KafkajsEncoder[]): this;
}

/**
 * Minimum size of a buffer that is referenced instead of copied, and the initial buffer size of an encoder.
 */
const REFER = 1024,
  ROOM = 256;

/**
 * kafkajs's encoder without its copies. A request is nested seven levels deep, and each kafkajs level copied
 * all levels below it into a zeroed buffer of the next power of two. This encoder references large buffers,
 * and joins them only when a checksum or the socket needs one piece. The written buffers must not change
 * until then. The encoded bytes are the same.
 */
export function copyFreeEncoder(
  Base: new (initialSize: number) => KafkajsEncoder,
): new (
  initialSize?: number,
) => KafkajsEncoder {
  return class PartsEncoder extends Base {
    /** parts that precede `buf` */
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

    /** Closes the written bytes as a part; later writes use the rest of the buffer. */
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

    /** The written bytes, in pieces. */
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
  } as new (
    initialSize?: number,
  ) => KafkajsEncoder;
}
