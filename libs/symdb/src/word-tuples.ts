import { U32Column } from "@cinderblock/columnar";

/**
 * Interned tuples of u32 words of any size: id -> words[offset[id], offset[id + 1]). IDs are dense from 0 and
 * follow the order of first use. Tuples of different sizes are different.
 *
 * Open addressing with linear probing; the table doubles when it is half full.
 */
export class WordTuples {
  readonly words = new U32Column(16);
  readonly offset = new U32Column(8);
  /** [tuples] hash of each tuple, so that growing the table hashes nothing again */
  private readonly hashes = new U32Column(8);
  /** [slots] ID + 1, or 0 for a free slot; the number of slots is a power of two */
  private slot = new Uint32Array(16);
  /** hash of each slot's tuple, next to the slots: most probes end here */
  private slotHash = new Uint32Array(16);

  constructor() {
    this.offset.push(0);
  }

  /** Number of tuples. */
  get length(): number {
    return this.offset.length - 1;
  }

  /**
   * ID of tuple[0, size). A new tuple is copied and gets the next ID: the caller sees an addition by
   * `length`.
   */
  intern(tuple: Uint32Array, size: number): number {
    let hash = 0x811c9dc5 ^ size;
    for (let i = 0; i < size; i++) {
      hash = Math.imul(hash ^ tuple[i]!, 0x85ebca6b);
      hash = (hash << 13) | (hash >>> 19);
    }
    hash = Math.imul(hash, 0xc2b2ae35);
    hash = (hash ^ (hash >>> 16)) >>> 0;
    const mask = this.slot.length - 1;
    const words = this.words.data,
      offset = this.offset.data,
      slotHash = this.slotHash;
    let i = hash & mask;
    for (; ; i = (i + 1) & mask) {
      const v = this.slot[i]!;
      if (v === 0) break;
      if (slotHash[i] !== hash) continue;
      const id = v - 1;
      const at = offset[id]!;
      if (offset[id + 1]! - at !== size) continue;
      let same = true;
      for (let k = 0; k < size; k++)
        if (words[at + k] !== tuple[k]) {
          same = false;
          break;
        }
      if (same) return id;
    }
    const id = this.length;
    this.words.reserve(size);
    const target = this.words.data;
    for (let k = 0, at = this.words.length; k < size; k++) target[at++] = tuple[k]!;
    this.words.length += size;
    this.offset.push(this.words.length);
    this.hashes.push(hash);
    if ((id + 1) * 2 > this.slot.length) this.rehash();
    else {
      this.slot[i] = id + 1;
      this.slotHash[i] = hash;
    }
    return id;
  }

  private rehash(): void {
    const slot = new Uint32Array(this.slot.length * 2);
    const slotHash = new Uint32Array(slot.length);
    const mask = slot.length - 1;
    for (let id = 0; id < this.length; id++) {
      let i = this.hashes.data[id]! & mask;
      while (slot[i] !== 0) i = (i + 1) & mask;
      slot[i] = id + 1;
      slotHash[i] = this.hashes.data[id]!;
    }
    this.slot = slot;
    this.slotHash = slotHash;
  }

  /** Allocated memory in bytes, including free capacity. */
  get byteLength(): number {
    return this.words.byteLength + this.offset.byteLength + this.hashes.byteLength + this.slot.byteLength * 2;
  }
}
