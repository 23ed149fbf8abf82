import { hashRange, viewOf } from "@cinderblock/bytes";
import { ByteColumn, U32Column } from "./columns.ts";

const EMPTY_VIEW = new DataView(new ArrayBuffer(0));

/**
 * Interned byte strings: ID -> bytes[offset[id], offset[id + 1]). IDs are dense from 0 and follow the order
 * of first use; no two IDs have equal bytes.
 *
 *   slot[hash & mask] = ID + 1 -> hashes[ID] = hash -> offset[ID], offset[ID + 1] -> bytes
 *
 * Linear probing; the table doubles when it is half full. A lookup costs one hash of the string and one
 * comparison.
 */
export class ByteStrings {
  readonly bytes = new ByteColumn(64);
  /** [strings + 1] string ID -> start of the string in `bytes`, ascending from 0 */
  readonly offset = new U32Column(16);
  /** [strings] string ID -> hash, so that most probes compare no bytes and growing hashes nothing again */
  private readonly hashes = new U32Column(16);
  /** hash slot -> ID + 1; 0: the slot is free */
  private slot = new Uint32Array(16);

  constructor() {
    this.offset.push(0);
  }

  /** Number of strings. */
  get length(): number {
    return this.offset.length - 1;
  }

  // The DataViews of the last source and of `bytes`: creating one for each lookup would cost more than the
  // lookup.
  private source: Uint8Array | undefined;
  private sourceView: DataView = EMPTY_VIEW;
  private own: Uint8Array | undefined;
  private ownView: DataView = EMPTY_VIEW;

  private view(source: Uint8Array): DataView {
    if (this.source !== source) {
      this.source = source;
      this.sourceView = viewOf(source);
    }
    return this.sourceView;
  }

  /** ID of `source[start, end)`; a new string is copied. Keeps a reference to the source until `release`. */
  intern(source: Uint8Array, start: number, end: number): number {
    const view = this.view(source);
    const hash = hashRange(view, start, end);
    const found = this.lookup(view, start, end, hash);
    if (found >= 0) return found;
    return this.append(source, start, end, hash);
  }

  /** Releases the reference to the last interned source, so that its memory can be freed. */
  release(): void {
    this.source = undefined;
    this.sourceView = EMPTY_VIEW;
  }

  /** ID of a known string, or -1. */
  private lookup(view: DataView, start: number, end: number, hash: number): number {
    if (this.own !== this.bytes.data) {
      this.own = this.bytes.data;
      this.ownView = viewOf(this.own);
    }
    const { slot, ownView } = this;
    const mask = slot.length - 1;
    const size = end - start;
    const offset = this.offset.data;
    const hashes = this.hashes.data;
    for (let i = hash & mask; ; i = (i + 1) & mask) {
      const v = slot[i]!;
      if (v === 0) return -1;
      const id = v - 1;
      if (hashes[id] !== hash) continue;
      const at = offset[id]!;
      if (offset[id + 1]! - at !== size) continue;
      let k = 0;
      while (k + 4 <= size && ownView.getInt32(at + k) === view.getInt32(start + k)) k += 4;
      if (k + 4 > size) {
        while (k < size && ownView.getUint8(at + k) === view.getUint8(start + k)) k++;
        if (k === size) return id;
      }
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

  /** Removes all strings and keeps the memory. Views of the columns lose their meaning. */
  clear(): void {
    this.release();
    this.bytes.length = this.offset.length = this.hashes.length = 0;
    this.offset.push(0);
    this.slot.fill(0);
  }

  /** Allocated memory in bytes, including free capacity. */
  get byteLength(): number {
    return this.bytes.byteLength + this.offset.byteLength + this.hashes.byteLength + this.slot.byteLength;
  }
}
