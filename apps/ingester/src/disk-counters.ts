import type { Ballast } from "@cinderblock/files";

/**
 * Slots of the shared memory: number of releases of the ballast, then the appended log bytes of each shard.
 */
const RELEASES = 0,
  SHARDS = 1;

/** Disk counters of the data path, shared by the ingest threads and the main thread. */
export class DiskCounters {
  readonly buffer: SharedArrayBuffer;
  private readonly slots: BigInt64Array;

  /** @param shared number of threads, or the memory that the main thread created */
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

  /** Sets the bytes that a thread has appended since its start. */
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

/** Makes room for one thread's write. Each release of the ballast gives every thread one more try. */
export class BallastReleaser {
  private seen: number;
  private readonly ballast: Ballast;
  private readonly usage: DiskCounters;

  constructor(ballast: Ballast, usage: DiskCounters) {
    this.ballast = ballast;
    this.usage = usage;
    this.seen = usage.releases;
  }

  /** @returns whether any thread has made room since this thread's last call */
  release(): boolean {
    if (this.ballast.release()) this.usage.noteRelease();
    const now = this.usage.releases,
      again = now !== this.seen;
    this.seen = now;
    return again;
  }
}
