/**
 * Memory shared by two threads, in slots of one size, for bytes that go from one to the other and are soon done with.
 * A buffer that moves by message becomes a new object of the other thread's heap, and some megabytes of those make V8
 * collect all of it; a slot is only named. The side that took a slot gives it back when the other is done with it.
 */
export class SharedSlots {
  readonly buffer: SharedArrayBuffer;
  private readonly bytes: Uint8Array;
  private readonly slotBytes: number;
  /** slots that are free; the last one given is taken next, so that few of them are ever touched */
  private readonly free: number[] = [];

  constructor(slotBytes: number, count: number) {
    this.slotBytes = slotBytes;
    this.buffer = new SharedArrayBuffer(slotBytes * count);
    this.bytes = new Uint8Array(this.buffer);
    for (let i = count - 1; i >= 0; i--) this.free.push(i);
  }

  /** Copies `bytes` into a free slot and says where it begins; undefined when it is too large, or none is free. */
  put(bytes: Uint8Array): number | undefined {
    if (bytes.length > this.slotBytes) return undefined;
    const slot = this.free.pop();
    if (slot === undefined) return undefined;
    this.bytes.set(bytes, slot * this.slotBytes);
    return slot * this.slotBytes;
  }

  give(at: number): void { this.free.push(at / this.slotBytes); }
}

/** The other side: copies what lies in a slot into memory of its own, borrowed until the next `read`. */
export class SlotReader {
  private readonly shared: Uint8Array;
  private own = new Uint8Array(64 << 10);

  constructor(buffer: SharedArrayBuffer) { this.shared = new Uint8Array(buffer); }

  read(at: number, length: number): Uint8Array {
    if (length > this.own.length) this.own = new Uint8Array(length * 2);
    this.own.set(this.shared.subarray(at, at + length));
    return this.own.subarray(0, length);
  }
}
