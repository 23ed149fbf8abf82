import { closeSync, openSync, readSync, writeSync } from "node:fs";

/**
 * Maps from a source's stacktrace IDs to an output's. Maps beyond the budget are spilled to a file and read
 * on demand.
 */
export class StackMaps {
  private readonly held = new Map<string, Uint32Array>();
  private readonly spilled = new Map<string, { at: number; length: number }>();
  private heldBytes = 0;
  private fd = -1;
  private end = 0;
  private readonly path: string;
  private readonly budgetBytes: number;

  constructor(path: string, budgetBytes: number) {
    this.path = path;
    this.budgetBytes = budgetBytes;
  }

  private key(shard: number, source: number, partition: bigint): string {
    return `${shard}/${source}/${partition}`;
  }

  put(shard: number, source: number, partition: bigint, map: Uint32Array): void {
    const key = this.key(shard, source, partition);
    if (this.heldBytes + map.byteLength <= this.budgetBytes) {
      this.held.set(key, map);
      this.heldBytes += map.byteLength;
      return;
    }
    if (this.fd < 0) this.fd = openSync(this.path, "w+");
    const bytes = new Uint8Array(map.buffer, map.byteOffset, map.byteLength);
    for (let n = 0; n < bytes.length; ) n += writeSync(this.fd, bytes, n, bytes.length - n, this.end + n);
    this.spilled.set(key, { at: this.end, length: map.length });
    this.end += bytes.length;
  }

  get(shard: number, source: number, partition: bigint): Uint32Array {
    const key = this.key(shard, source, partition);
    let map = this.held.get(key);
    if (map) {
      this.held.delete(key);
      this.held.set(key, map);
      return map;
    }
    const { at, length } = this.spilled.get(key)!;
    map = new Uint32Array(length);
    const bytes = new Uint8Array(map.buffer);
    for (let n = 0; n < bytes.length; ) {
      const got = readSync(this.fd, bytes, n, bytes.length - n, at + n);
      if (got === 0) throw new Error(`${this.path} is shorter than the data written to it`);
      n += got;
    }
    // Evict the least recently used maps that are in the file.
    for (const [k, m] of this.held) {
      if (this.heldBytes + map.byteLength <= this.budgetBytes) break;
      if (!this.spilled.has(k)) continue;
      this.held.delete(k);
      this.heldBytes -= m.byteLength;
    }
    this.held.set(key, map);
    this.heldBytes += map.byteLength;
    return map;
  }

  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }
}
