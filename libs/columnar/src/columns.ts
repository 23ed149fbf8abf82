/** Growable typed-array columns: `data` may be longer than `length`; it grows by doubling. */
export class U32Column {
  data: Uint32Array;
  length = 0;
  constructor(capacity = 16) {
    this.data = new Uint32Array(capacity);
  }
  reserve(extra: number): void {
    const needed = this.length + extra;
    if (needed <= this.data.length) return;
    const grown = new Uint32Array(Math.max(needed, this.data.length * 2));
    grown.set(this.data.subarray(0, this.length));
    this.data = grown;
  }
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
  view(): Uint32Array {
    return this.data.subarray(0, this.length);
  }
  get byteLength(): number {
    return this.data.byteLength;
  }
}

/** Growable column of int32 values. */
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

/** int64 column; `words` is the same memory as pairs (low, high) of 32-bit words, little endian. */
export class I64Column {
  data: BigInt64Array;
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

/** Growable column of bytes. */
export class ByteColumn {
  data: Uint8Array;
  length = 0;
  constructor(capacity = 256) {
    this.data = new Uint8Array(capacity);
  }
  append(source: Uint8Array, start: number, end: number): void {
    const needed = this.length + end - start;
    if (needed > this.data.length) {
      const grown = new Uint8Array(Math.max(needed, this.data.length * 2));
      grown.set(this.data.subarray(0, this.length));
      this.data = grown;
    }
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
