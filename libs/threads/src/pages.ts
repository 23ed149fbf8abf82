const PAGE_BYTES = 8 << 10;
/** Divisor of the maximum share of all pages that one body may use: an eighth. */
const LARGEST_SHARE = 8;

/**
 * Memory shared by two threads, in pages, for short-lived bytes that pass from one to the other. A buffer
 * that is transferred by message becomes a new object in the other thread's heap, and some megabytes of these
 * trigger a full collection in V8. Pages are only referenced. The thread that allocates pages frees them when
 * the other thread is done.
 */
export class SharedPages {
  readonly buffer: SharedArrayBuffer;
  private readonly bytes: Uint8Array;
  /** number of pages of an allocation, at its first page; 0: free, or inside an allocation */
  private readonly taken: Uint16Array;

  /** @param bytes total size of all pages */
  constructor(bytes: number) {
    this.taken = new Uint16Array(Math.ceil(bytes / PAGE_BYTES));
    this.buffer = new SharedArrayBuffer(this.taken.length * PAGE_BYTES);
    this.bytes = new Uint8Array(this.buffer);
  }

  /**
   * Copies `bytes` to the first free range that is large enough.
   * @returns its offset; undefined if no range fits, or if `bytes` are too many
   */
  put(bytes: Uint8Array): number | undefined {
    const { taken } = this,
      pages = Math.max(1, Math.ceil(bytes.length / PAGE_BYTES));
    if (pages * LARGEST_SHARE > taken.length) return undefined;
    for (let at = 0, free = 0; at < taken.length; ) {
      const run = taken[at]!;
      if (run > 0) {
        at += run;
        free = 0;
        continue;
      }
      at++;
      if (++free < pages) continue;
      const first = at - pages;
      taken[first] = pages;
      this.bytes.set(bytes, first * PAGE_BYTES);
      return first * PAGE_BYTES;
    }
    return undefined;
  }

  release(at: number): void {
    this.taken[at / PAGE_BYTES] = 0;
  }
}

/** Reader in the other thread: copies the bytes to its own memory, valid until the next `read`. */
export class SharedPagesReader {
  private readonly shared: Uint8Array;
  private own = new Uint8Array(64 << 10);

  constructor(buffer: SharedArrayBuffer) {
    this.shared = new Uint8Array(buffer);
  }

  read(at: number, length: number): Uint8Array {
    if (length > this.own.length) this.own = new Uint8Array(length * 2);
    this.own.set(this.shared.subarray(at, at + length));
    return this.own.subarray(0, length);
  }
}
