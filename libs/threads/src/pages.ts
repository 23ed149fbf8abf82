const PAGE_BYTES = 8 << 10;
/** No body takes more than this share of all pages. */
const LARGEST_SHARE = 8;

/**
 * Memory shared by two threads, in pages, for bytes that go from one to the other and are soon done with. A buffer that
 * moves by message becomes a new object of the other thread's heap, and some megabytes of those make V8 collect all of
 * it; pages are only named. The side that took pages gives them back when the other is done with them.
 */
export class SharedPages {
  readonly buffer: SharedArrayBuffer;
  private readonly bytes: Uint8Array;
  /** pages that were taken together, where they begin; 0: free, or within such a run */
  private readonly taken: Uint16Array;

  /** @param bytes of all pages */
  constructor(bytes: number) {
    this.taken = new Uint16Array(Math.ceil(bytes / PAGE_BYTES));
    this.buffer = new SharedArrayBuffer(this.taken.length * PAGE_BYTES);
    this.bytes = new Uint8Array(this.buffer);
  }

  /** Copies `bytes` to the first place that is large enough and says where it begins; undefined when there is none, or they are too many. */
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

  give(at: number): void {
    this.taken[at / PAGE_BYTES] = 0;
  }
}

/** The other side: copies what lies there into memory of its own, borrowed until the next `read`. */
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
