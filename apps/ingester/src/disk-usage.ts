import type { Ballast } from "@cinderblock/files";

/** Slots of the shared memory: the number of times that a ballast was released, then the appended bytes of each shard's log. */
const RELEASES = 0,
  SHARDS = 1;

/** Counters of the data path's disk that ingest threads and their owner share. */
export class DiskUsage {
  readonly buffer: SharedArrayBuffer;
  private readonly slots: BigInt64Array;

  /** @param shared number of threads, or the memory that the owner made */
  constructor(shared: number | SharedArrayBuffer) {
    this.buffer = typeof shared === "number" ? new SharedArrayBuffer(8 * (SHARDS + shared)) : shared;
    this.slots = new BigInt64Array(this.buffer);
  }

  get releases(): number {
    return Number(Atomics.load(this.slots, RELEASES));
  }
  noteRelease(): void {
    Atomics.add(this.slots, RELEASES, 1n);
  }

  /** Notes the bytes that a thread has appended since its start. */
  setAppended(shard: number, bytes: number): void {
    Atomics.store(this.slots, SHARDS + shard, BigInt(bytes));
  }
  /** Bytes that all threads have appended since their start. */
  get appendedBytes(): number {
    let n = 0n;
    for (let i = SHARDS; i < this.slots.length; i++) n += Atomics.load(this.slots, i);
    return Number(n);
  }
}

/** Makes room for the work of one thread. Each release of the ballast serves one more try of every thread. */
export class RoomMaker {
  private seen: number;
  private readonly ballast: Ballast;
  private readonly usage: DiskUsage;

  constructor(ballast: Ballast, usage: DiskUsage) {
    this.ballast = ballast;
    this.usage = usage;
    this.seen = usage.releases;
  }

  /** @returns whether room was made since this thread asked last, by it or by another one */
  make(): boolean {
    if (this.ballast.release()) this.usage.noteRelease();
    const now = this.usage.releases,
      again = now !== this.seen;
    this.seen = now;
    return again;
  }
}
