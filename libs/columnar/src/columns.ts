/**
 * Growable column of uint32 values. All columns here share these rules:
 *
 *   data   | value 0 | ... | value length - 1 | free capacity |
 *
 * `data` is replaced when it grows, by at least doubling: loops that push read it again. `view` shares memory
 * with the column at the time of the call, so that later growth leaves the view behind, valid and unchanged.
 */
export class U32Column {
  data: Uint32Array;
  length = 0;
  constructor(capacity = 16) {
    this.data = new Uint32Array(capacity);
  }
  /** Makes room for `extra` more values, so that a loop may write into `data` and advance `length` itself. */
  reserve(extra: number): void {
    const needed = this.length + extra;
    if (needed <= this.data.length) return;
    const grown = new Uint32Array(Math.max(needed, this.data.length * 2));
    grown.set(this.data.subarray(0, this.length));
    this.data = grown;
  }
  /** Appends one value and returns its position; amortized O(1). */
  push(value: number): number {
    if (this.length === this.data.length) this.reserve(1);
    this.data[this.length] = value;
    return this.length++;
  }
  append(values: Uint32Array): void {
    this.reserve(values.length);
    this.data.set(values, this.length);
    this.length += values.length;
  }
  /** The values without the free capacity, not a copy. */
  view(): Uint32Array {
    return this.data.subarray(0, this.length);
  }
  get byteLength(): number {
    return this.data.byteLength;
  }
}

/** Growable column of int32 values; rules as for U32Column. */
export class I32Column {
  data: Int32Array;
  length = 0;
  constructor(capacity = 16) {
    this.data = new Int32Array(capacity);
  }
  reserve(extra: number): void {
    const needed = this.length + extra;
    if (needed <= this.data.length) return;
    const grown = new Int32Array(Math.max(needed, this.data.length * 2));
    grown.set(this.data.subarray(0, this.length));
    this.data = grown;
  }
  push(value: number): number {
    if (this.length === this.data.length) this.reserve(1);
    this.data[this.length] = value;
    return this.length++;
  }
  view(): Int32Array {
    return this.data.subarray(0, this.length);
  }
  get byteLength(): number {
    return this.data.byteLength;
  }
}

/** Growable column of int64 values; rules as for U32Column. */
export class I64Column {
  data: BigInt64Array;
  /** the same memory in 32-bit words, little endian: value i is (words[2i], words[2i + 1]) = (low, high) */
  words: Int32Array;
  length = 0;
  constructor(capacity = 16) {
    this.data = new BigInt64Array(capacity);
    this.words = new Int32Array(this.data.buffer);
  }
  reserve(extra: number): void {
    const needed = this.length + extra;
    if (needed <= this.data.length) return;
    const grown = new BigInt64Array(Math.max(needed, this.data.length * 2));
    grown.set(this.data.subarray(0, this.length));
    this.data = grown;
    this.words = new Int32Array(grown.buffer);
  }
  push(value: bigint): number {
    if (this.length === this.data.length) this.reserve(1);
    this.data[this.length] = value;
    return this.length++;
  }
  append(values: BigInt64Array): void {
    this.reserve(values.length);
    this.data.set(values, this.length);
    this.length += values.length;
  }
  view(): BigInt64Array {
    return this.data.subarray(0, this.length);
  }
  get byteLength(): number {
    return this.data.byteLength;
  }
}

/** Growable column of bytes; rules as for U32Column. */
export class ByteColumn {
  data: Uint8Array;
  length = 0;
  constructor(capacity = 256) {
    this.data = new Uint8Array(capacity);
  }
  /** Appends source[start, end). */
  append(source: Uint8Array, start: number, end: number): void {
    const needed = this.length + end - start;
    if (needed > this.data.length) {
      const grown = new Uint8Array(Math.max(needed, this.data.length * 2));
      grown.set(this.data.subarray(0, this.length));
      this.data = grown;
    }
    // A loop is faster than `set` with its subarray for short ranges.
    if (end - start < 32) {
      const { data } = this;
      for (let i = start, at = this.length; i < end; i++) data[at++] = source[i]!;
    } else {
      this.data.set(source.subarray(start, end), this.length);
    }
    this.length = needed;
  }
  view(): Uint8Array {
    return this.data.subarray(0, this.length);
  }
  get byteLength(): number {
    return this.data.byteLength;
  }
}
