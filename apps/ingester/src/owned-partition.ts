import type { PartitionReader } from "@cinderblock/kafka";
import type { PartitionState } from "@cinderblock/transport";

const MAX_MARKS = 7200;

/** At `atMs` every record below `offset` was stored on this disk; the last of them was written at `recordMs`. */
interface Mark {
  atMs: number;
  offset: number;
  recordMs: number;
}

/** Reading state of one partition that this ingester owns. */
export class OwnedPartition {
  reader: PartitionReader | undefined;
  /** next offset to read */
  position = 0;
  /** records below are in the bucket: they are read only to learn baselines from */
  learnTo = 0;
  /** records below are in the bucket */
  committed = 0;
  /** end of the partition as the broker last reported it */
  end = 0;
  /** end of the partition when it was claimed: below, others took records that this ingester does not have */
  catchUpTo = 0;
  /** when the last record read was written */
  recordMs = 0;
  /** set by the owner that gives the partition up: records without room are dropped and read again later */
  stopped = false;
  /** since when records wait for room, or for whatever else keeps them out of the heads; 0: none does */
  waitingSinceMs = 0;
  /** resolves when the records in hand are stored */
  busy: Promise<void> = Promise.resolve();
  private marks: Mark[] = [];

  /** Begins at an offset, at a claim or behind a gap. Heads of an earlier run are older than this mark: they hold what is before it. */
  beginAt(offset: number, nowMs: number): void {
    this.position = offset;
    this.marks = [{ atMs: nowMs, offset, recordMs: nowMs }];
  }

  /** Remembers that everything below the position is stored now. */
  mark(nowMs: number): void {
    const last = this.marks.at(-1)!;
    if (last.offset !== this.position)
      this.marks.push({ atMs: Math.max(nowMs, last.atMs), offset: this.position, recordMs: this.recordMs });
    if (this.marks.length > MAX_MARKS)
      this.marks = this.marks.filter((_, i) => i % 2 === 1 || i === this.marks.length - 1);
  }

  /** The offset up to which everything was stored before a time; undefined: nothing was. */
  storedBefore(timeMs: number): number | undefined {
    return this.marks.findLast((m) => m.atMs < timeMs)?.offset;
  }

  /** Notes a commit. */
  committedTo(offset: number, nowMs: number): void {
    this.committed = offset;
    this.marks = this.marks.filter((m) => m.offset >= offset);
    if (this.marks.length === 0)
      this.marks.push({ atMs: nowMs, offset: this.position, recordMs: this.recordMs });
  }

  state(partition: number, owner: string, nowMs: number): PartitionState {
    const oldest =
      this.committed < this.position
        ? (this.marks.find((m) => m.offset > this.committed)?.recordMs ?? this.recordMs)
        : this.recordMs;
    return {
      partition,
      owner,
      position: this.position,
      committed: this.committed,
      end: this.end,
      unuploadedAgeMs: this.committed < this.end ? Math.max(0, nowMs - oldest) : 0,
      lagMs: this.position < this.end ? Math.max(0, nowMs - this.recordMs) : 0,
    };
  }
}
