import type { OffsetRange, PartitionReader } from "@cinderblock/kafka";
import type { PartitionState } from "@cinderblock/transport";

const MAX_MARKS = 7200;
/** A partition that was not read up to an end that it had so long ago is late: queries say so. */
const LATE_MS = 15_000;

/** At `atMs` every record below `offset` was stored on this disk; the last of them was written at `recordMs`. */
interface Mark {
  atMs: number;
  offset: number;
  recordMs: number;
}

/** Reading state of one partition that this ingester owns. */
export class OwnedPartition {
  /** the topic that all offsets here are of */
  readonly topicId: string;
  reader: PartitionReader | undefined;
  /** the reader ended by itself: the partition is claimed again */
  ended = false;
  /** next offset to read */
  position = 0;
  /** records below are in the bucket: they are read only to learn baselines from */
  learnTo = 0;
  /** records below are in the bucket */
  committed = 0;
  /** oldest record that the topic keeps */
  start = 0;
  /** end of the partition as the broker last reported it */
  end = 0;
  /** end of the partition when it was claimed: below, others took records that this ingester does not have */
  catchUpTo = 0;
  /** when the last record read was written */
  recordMs = 0;
  /** since when records are in the bucket and not committed; undefined: all commits were made */
  commitDueMs: number | undefined;
  /** the commit under way */
  committing: Promise<void> | undefined;
  /** set by the owner that gives the partition up: records without room are dropped and read again later */
  stopped = false;
  /** since when records wait for room, or for whatever else keeps them out of the heads; 0: none does */
  waitingSinceMs = 0;
  /** resolves when the records in hand are stored */
  busy: Promise<void> = Promise.resolve();
  private marks: Mark[] = [];
  /** an end that was not read up to when it was looked up, and when that was */
  private due: { offset: number; atMs: number } | undefined;
  private lookedAtMs: number;

  constructor(topicId: string, nowMs: number) {
    this.topicId = topicId;
    this.lookedAtMs = nowMs;
  }

  /**
   * Begins at an offset, at a claim or behind a gap. Heads of an earlier run are older than this mark: they hold what is before it.
   * @param recordMs about when the oldest record that is not in the bucket was written
   */
  beginAt(offset: number, nowMs: number, recordMs: number): void {
    this.position = offset;
    this.recordMs = recordMs;
    this.marks = [{ atMs: nowMs, offset, recordMs }];
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
    this.commitDueMs = undefined;
    this.marks = this.marks.filter((m) => m.offset >= offset);
    if (this.marks.length === 0)
      this.marks.push({ atMs: nowMs, offset: this.position, recordMs: this.recordMs });
  }

  /** Notes the offsets that the topic holds now. */
  looked(range: OffsetRange, nowMs: number): void {
    this.lookedAtMs = nowMs;
    this.start = range.start;
    this.end = Math.max(this.end, range.end);
    if (this.catchUpTo === Infinity) this.catchUpTo = range.end;
    if (this.due && this.position < this.due.offset) return;
    this.due = this.position < range.end ? { offset: range.end, atMs: nowMs } : undefined;
  }

  /** Whether records that were in the topic some time ago are not read yet, or that is not known. */
  isLate(nowMs: number): boolean {
    const due = this.due && this.position < this.due.offset ? this.due.atMs : nowMs;
    return nowMs - Math.min(due, this.lookedAtMs) > LATE_MS;
  }

  /** Whether this ingester has what it needs to answer for the partition. */
  get isCaughtUp(): boolean {
    return this.reader !== undefined && this.position >= this.catchUpTo;
  }

  state(partition: number, owner: string, of: number, nowMs: number): PartitionState {
    const oldest =
      this.committed < this.position
        ? (this.marks.find((m) => m.offset > this.committed)?.recordMs ?? this.recordMs)
        : this.recordMs;
    return {
      partition,
      owner,
      topicId: this.topicId,
      of,
      position: this.position,
      committed: this.committed,
      start: this.start,
      end: this.end,
      unuploadedAgeMs: this.committed < this.end ? Math.max(0, nowMs - oldest) : 0,
      lagMs: this.position < this.end ? Math.max(0, nowMs - this.recordMs) : 0,
    };
  }
}
