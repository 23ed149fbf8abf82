import type { OffsetRange, PartitionReader } from "@cinderblock/kafka";
import type { PartitionCounts, PartitionState } from "@cinderblock/transport";

const MAX_MARKS = 7200;
/** A partition is late when it is not read up to an end reported this long ago; queries report that. */
const LATE_MS = 15_000;
/** Maximum number of reported end offsets to remember; a further one replaces the last one. */
const MAX_DUES = 64;

/** At `atMs`, every record below `offset` was on this disk; the last was written at `recordMs`. */
interface Mark {
  atMs: number;
  offset: number;
  recordMs: number;
}

/** Read state of one partition that this ingester owns. */
export class OwnedPartition {
  /** the topic that the offsets belong to */
  readonly topicId: string;
  /** numbers of partitions that placed its records */
  readonly counts: PartitionCounts;
  reader: PartitionReader | undefined;
  /** whether the reader ended by itself; the partition is then claimed again */
  ended = false;
  /** next offset to read */
  position = 0;
  /** records below this offset are in the bucket: they are read only for their baselines */
  learnTo = 0;
  /** records below this offset are in the bucket */
  committed = 0;
  /** offset of the oldest record that the topic still holds */
  start = 0;
  /** last end offset that the broker reported */
  end = 0;
  /** end offset at the claim: other ingesters read records below it that this one does not have */
  catchUpTo = 0;
  /** write time of the last record read */
  recordMs = 0;
  /** since when the offset of uploaded records is not committed; undefined: all commits succeeded */
  commitDueMs: number | undefined;
  /** the commit in progress */
  committing: Promise<void> | undefined;
  /** set when the partition is given up: records without room are dropped and read again later */
  stopped = false;
  /** since when records wait for room or for another obstacle; 0: no record waits */
  waitingSinceMs = 0;
  /** resolves when the records in flight are stored */
  busy: Promise<void> = Promise.resolve();
  private marks: Mark[] = [];
  /** reported end offsets that were not reached then, in rising order, and the times of the reports */
  private dues: { offset: number; atMs: number }[] = [];
  private lookedAtMs: number;

  constructor(topicId: string, nowMs: number, counts: PartitionCounts) {
    this.topicId = topicId;
    this.counts = counts;
    this.lookedAtMs = nowMs;
  }

  /**
   * Sets the read position, at a claim or after a gap. Heads of an earlier run are older than this mark and
   * hold only records below it.
   * @param recordMs approximate write time of the oldest record that is not in the bucket
   */
  beginAt(offset: number, nowMs: number, recordMs: number): void {
    this.position = offset;
    this.recordMs = recordMs;
    this.marks = [{ atMs: nowMs, offset, recordMs }];
  }

  /** Forgets the fences and ends of the deleted topic when a topic without an ID was recreated. */
  restart(): void {
    this.counts.reset();
    this.dues = [];
    this.end = this.position;
    // Catch up to the end of the recreated topic, which the broker's next report sets.
    this.catchUpTo = Infinity;
  }

  /** Marks that all records below the position are on disk now. */
  mark(nowMs: number): void {
    const last = this.marks.at(-1)!;
    if (last.offset !== this.position)
      this.marks.push({ atMs: Math.max(nowMs, last.atMs), offset: this.position, recordMs: this.recordMs });
    if (this.marks.length > MAX_MARKS)
      this.marks = this.marks.filter((_, i) => i % 2 === 1 || i === this.marks.length - 1);
  }

  /** The offset below which all records were on disk before a time; undefined: no mark is that old. */
  storedBefore(timeMs: number): number | undefined {
    return this.marks.findLast((m) => m.atMs < timeMs)?.offset;
  }

  /** Records a commit. */
  committedTo(offset: number, nowMs: number): void {
    this.committed = offset;
    this.commitDueMs = undefined;
    this.marks = this.marks.filter((m) => m.offset >= offset);
    if (this.marks.length === 0)
      this.marks.push({ atMs: nowMs, offset: this.position, recordMs: this.recordMs });
  }

  /** Records the offset range that the topic holds now. */
  setRange(range: OffsetRange, nowMs: number): void {
    // After a long time without a report, records below the new end may be that old.
    const atMs = Math.min(nowMs, this.lookedAtMs + LATE_MS);
    this.lookedAtMs = nowMs;
    this.start = range.start;
    this.end = Math.max(this.end, range.end);
    if (this.catchUpTo === Infinity) this.catchUpTo = range.end;
    this.dues = this.dues.filter((d) => d.offset > this.position);
    const last = this.dues.at(-1);
    if (range.end <= Math.max(this.position, last?.offset ?? 0)) return;
    // The report time of an earlier end makes the partition late earlier, never later.
    if (last && this.dues.length >= MAX_DUES) last.offset = range.end;
    else this.dues.push({ offset: range.end, atMs });
  }

  /**
   * Whether an end was not reached within `LATE_MS` after its report. An outdated report counts as late, so no
   * record is unread for more than twice `LATE_MS` while the partition is not late.
   */
  isLate(nowMs: number): boolean {
    const due = this.dues.find((d) => d.offset > this.position)?.atMs ?? nowMs;
    return nowMs - Math.min(due, this.lookedAtMs) > LATE_MS;
  }

  /** Whether this ingester has all records that it needs to answer for the partition. */
  get isCaughtUp(): boolean {
    return this.reader !== undefined && this.position >= this.catchUpTo;
  }

  toPartitionState(partition: number, owner: string, of: number, nowMs: number): PartitionState {
    const oldest =
      this.committed < this.position
        ? (this.marks.find((m) => m.offset > this.committed)?.recordMs ?? this.recordMs)
        : this.recordMs;
    return {
      partition,
      owner,
      topicId: this.topicId,
      of,
      ...(this.counts.settled > 0 ? { settled: this.counts.settled } : {}),
      position: this.position,
      committed: this.committed,
      start: this.start,
      end: this.end,
      unuploadedAgeMs: this.committed < this.end ? Math.max(0, nowMs - oldest) : 0,
      lagMs: this.position < this.end ? Math.max(0, nowMs - this.recordMs) : 0,
    };
  }
}
