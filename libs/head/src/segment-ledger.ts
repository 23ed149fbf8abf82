/** Heads with records in one segment. */
interface Users<H> {
  /** heads in memory: the segment is their only copy on disk */
  live: Set<H>;
  /** ULIDs of blocks: a replay that finds their records must know that these heads are done */
  done: Set<string>;
}

/**
 * Tracks which heads need which segments of a log. A segment may be deleted when no live head has records in
 * it, whatever its position.
 */
export class SegmentLedger<H extends { readonly ulid: string }> {
  private readonly bySegment = new Map<number, Users<H>>();
  private readonly byHead = new Map<H, Set<number>>();

  private usersOf(segment: number): Users<H> {
    let users = this.bySegment.get(segment);
    if (!users) this.bySegment.set(segment, (users = { live: new Set(), done: new Set() }));
    return users;
  }

  /** Registers that a head has records in a segment. */
  addRecord(head: H, segment: number): void {
    let segments = this.byHead.get(head);
    if (!segments) this.byHead.set(head, (segments = new Set()));
    if (segments.has(segment)) return;
    segments.add(segment);
    this.usersOf(segment).live.add(head);
  }

  /** Registers that a segment has records of a head that was cut: its block exists. */
  addCutHead(ulid: string, segment: number): void {
    this.usersOf(segment).done.add(ulid);
  }

  /** Registers a finished block whose `done` record is queued; its segments stay until `release`. */
  noteFinished(head: H): void {
    for (const s of this.byHead.get(head) ?? []) this.usersOf(s).done.add(head.ulid);
  }

  /** Releases a head whose `done` record is on disk: its records are no longer needed. */
  release(head: H): void {
    for (const s of this.byHead.get(head) ?? []) this.usersOf(s).live.delete(head);
    this.byHead.delete(head);
  }

  /** Whether a live head has records in a segment. */
  isPinned(segment: number): boolean {
    return (this.bySegment.get(segment)?.live.size ?? 0) > 0;
  }

  /** ULIDs of finished heads that have records in a segment. */
  doneIn(segment: number): Iterable<string> {
    return this.bySegment.get(segment)?.done ?? [];
  }

  /** Live heads of the oldest segment that has live heads. */
  oldestHeads(): H[] {
    let first = Infinity;
    for (const [s, users] of this.bySegment) if (users.live.size > 0 && s < first) first = s;
    return [...(this.bySegment.get(first)?.live ?? [])];
  }

  /** Removes deleted segments from the ledger. */
  forgetSegment(segments: readonly number[]): void {
    for (const s of segments) this.bySegment.delete(s);
  }
}
