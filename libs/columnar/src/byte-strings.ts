import { hashRange } from "@cinderblock/bytes";
import { ByteColumn, U32Column } from "./columns.ts";

/**
 * Interned byte strings: id -> bytes[offset[id], offset[id + 1]). Ids are given in order of first sight.
 */
export class ByteStrings {
  readonly bytes = new ByteColumn(1024);
  /** id -> start; one more entry than strings */
  readonly offset = new U32Column(64);
  private readonly hashes = new U32Column(64);
  /** id + 1, 0 free */
  private slot = new Uint32Array(128);

  constructor() { this.offset.push(0); }

  get length(): number { return this.offset.length - 1; }

  /** The id of `source[start, end)`, added when it is new. */
  intern(source: Uint8Array, start: number, end: number): number {
    const hash = hashRange(source, start, end);
    const found = this.lookup(source, start, end, hash);
    if (found >= 0) return found;
    return this.append(source, start, end, hash);
  }

  /** The id of `source[start, end)`, or -1. */
  find(source: Uint8Array, start: number, end: number): number { return this.lookup(source, start, end, hashRange(source, start, end)); }

  private lookup(source: Uint8Array, start: number, end: number, hash: number): number {
    const mask = this.slot.length - 1;
    const size = end - start;
    const data = this.bytes.data;
    const offset = this.offset.data;
    const hashes = this.hashes.data;
    for (let i = hash & mask; ; i = (i + 1) & mask) {
      const v = this.slot[i]!;
      if (v === 0) return -1;
      const id = v - 1;
      if (hashes[id] !== hash) continue;
      const at = offset[id]!;
      if (offset[id + 1]! - at !== size) continue;
      let same = true;
      for (let k = 0; k < size; k++) if (data[at + k] !== source[start + k]) { same = false; break; }
      if (same) return id;
    }
  }

  private append(source: Uint8Array, start: number, end: number, hash: number): number {
    const id = this.length;
    this.bytes.append(source, start, end);
    this.offset.push(this.bytes.length);
    this.hashes.push(hash);
    if ((id + 1) * 2 > this.slot.length) this.rehash();
    else this.place(id, hash);
    return id;
  }

  private place(id: number, hash: number): void {
    const mask = this.slot.length - 1;
    let i = hash & mask;
    while (this.slot[i] !== 0) i = (i + 1) & mask;
    this.slot[i] = id + 1;
  }

  private rehash(): void {
    this.slot = new Uint32Array(this.slot.length * 2);
    for (let id = 0; id < this.length; id++) this.place(id, this.hashes.data[id]!);
  }

  get byteLength(): number { return this.bytes.byteLength + this.offset.byteLength + this.hashes.byteLength + this.slot.byteLength; }
}
