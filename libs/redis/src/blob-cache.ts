/**
 * A cache whose entries may be lost at any time. Every method rejects with kind `unavailable` if the store is
 * unreachable.
 */
export interface BlobCache {
  get(key: string): Promise<Uint8Array | undefined>;
  set(key: string, value: Uint8Array, ttlMs: number): Promise<void>;
  close(): Promise<void>;
}

/** A cache in this process, which evicts the least recently used entries beyond `maxBytes`. */
export class InMemoryCache implements BlobCache {
  /** in the order of their last use */
  private readonly entries = new Map<string, { value: Uint8Array; until: number }>();
  private held = 0;
  private readonly maxBytes: number;
  private readonly now: () => number;

  constructor(maxBytes: number, now: () => number = Date.now) {
    this.maxBytes = maxBytes;
    this.now = now;
  }

  get bytes(): number {
    return this.held;
  }

  get(key: string): Promise<Uint8Array | undefined> {
    const e = this.entries.get(key);
    if (!e) return Promise.resolve(undefined);
    this.drop(key);
    if (e.until <= this.now()) return Promise.resolve(undefined);
    this.put(key, e);
    return Promise.resolve(e.value);
  }

  set(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    this.drop(key);
    if (sizeOf(key, value) > this.maxBytes) return Promise.resolve();
    this.put(key, { value, until: this.now() + ttlMs });
    for (const oldest of this.entries.keys()) {
      if (this.held <= this.maxBytes) break;
      this.drop(oldest);
    }
    return Promise.resolve();
  }

  private put(key: string, e: { value: Uint8Array; until: number }): void {
    this.entries.set(key, e);
    this.held += sizeOf(key, e.value);
  }
  private drop(key: string): void {
    const e = this.entries.get(key);
    if (!e) return;
    this.entries.delete(key);
    this.held -= sizeOf(key, e.value);
  }

  close(): Promise<void> {
    this.entries.clear();
    this.held = 0;
    return Promise.resolve();
  }
}

function sizeOf(key: string, value: Uint8Array): number {
  return 2 * key.length + value.length + 128;
}
