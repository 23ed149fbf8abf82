// In a Jest test, each access to a global costs a lookup call.
const { imul, floor } = Math;

/** A seeded generator (mulberry32), so that a failing run can be repeated. */
export class Random {
  private state: number;
  constructor(seed: number) {
    this.state = seed >>> 0;
  }
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  below(n: number): number {
    return floor(this.next() * n);
  }
  /** A copy of `bytes` with a few bytes changed, cut, doubled or filled. */
  mutate(bytes: Uint8Array): Uint8Array {
    let out = Uint8Array.from(bytes);
    for (let n = 1 + this.below(4); n > 0 && out.length > 0; n--) {
      const at = this.below(out.length);
      switch (this.below(6)) {
        case 0:
          out[at] = this.below(256);
          break;
        case 1:
          out[at]! ^= 1 << this.below(8);
          break;
        case 2:
          out = out.slice(0, at);
          break;
        case 3:
          out.fill(this.below(2) * 255, at, at + this.below(12));
          break;
        case 4: {
          const piece = out.slice(at, at + this.below(40));
          const grown = new Uint8Array(out.length + piece.length);
          grown.set(out.subarray(0, at));
          grown.set(piece, at);
          grown.set(out.subarray(at), at + piece.length);
          out = grown;
          break;
        }
        default:
          out[at] = [0x7f, 0x80, 0xff, 0x00][this.below(4)]!;
      }
    }
    return out;
  }
}
