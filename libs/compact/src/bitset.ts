/** A growable set of small integers. */
export class BitSet {
  private words = new Uint32Array(64);
  /** upper bound of the members: the largest plus 1 */
  length = 0;

  add(i: number): void {
    const w = i >>> 5;
    if (w >= this.words.length) {
      const grown = new Uint32Array(Math.max(w + 1, this.words.length * 2));
      grown.set(this.words);
      this.words = grown;
    }
    this.words[w]! |= 1 << (i & 31);
    if (i >= this.length) this.length = i + 1;
  }

  has(i: number): boolean {
    return i < this.length && (this.words[i >>> 5]! & (1 << (i & 31))) !== 0;
  }

  /** Calls `on` for each member in ascending order. */
  forEach(on: (i: number) => void): void {
    const n = Math.min(this.words.length, (this.length + 31) >>> 5);
    for (let w = 0; w < n; w++)
      for (let bits = this.words[w]!; bits !== 0; bits &= bits - 1)
        on(w * 32 + 31 - Math.clz32(bits & -bits));
  }
}
