import { ByteWriter } from "@cinderblock/bytes";
import { crashPoint } from "@cinderblock/files";
import type { GrowthBaselines } from "./baseline-store.ts";
import type { LogWriter } from "./log-file.ts";
import { encodeCheckpointRecord, encodeDoneRecord } from "./log-records.ts";
import type { SegmentLedger } from "./segment-ledger.ts";

/** Commit size of a snapshot, so that it is never completely in memory. */
const COMMIT_BYTES = 1 << 20;
/** Minimum freeable bytes that justify a new segment when there is no head. */
const LEAST_BYTES = 4096;

/**
 * Frees the disk space of segments that no head needs. Each segment holds baselines, so a checkpoint comes
 * first: it writes every tenant's baselines to a new segment and syncs them, and only then unlinks the old
 * segments (docs/correctness.md, "Cumulative baselines" and "Order of a cut").
 */
export class LogReclaimer<H extends { readonly ulid: string }> {
  private running: Promise<void> | undefined;
  /** bytes of the last checkpoint: a log that holds nothing else is not rewritten */
  private checkpointBytes = 0;
  private readonly record = new ByteWriter(64);
  private readonly log: LogWriter;
  private readonly ledger: SegmentLedger<H>;
  private readonly baselines: GrowthBaselines;
  private readonly doneElsewhere: () => Iterable<string>;

  /** @param doneElsewhere IDs of cut heads whose records in other logs are not yet reclaimed */
  constructor(
    log: LogWriter,
    ledger: SegmentLedger<H>,
    baselines: GrowthBaselines,
    doneElsewhere: () => Iterable<string>,
  ) {
    this.log = log;
    this.ledger = ledger;
    this.baselines = baselines;
    this.doneElsewhere = doneElsewhere;
  }

  /** Bytes of segments that hold records of a live head. */
  get pinnedBytes(): number {
    let n = 0;
    for (const s of this.log.segments()) if (this.ledger.isPinned(s)) n += this.log.sizeOf(s);
    return n;
  }

  /** Bytes that a checkpoint would free. */
  private get freeable(): number {
    return this.log.totalBytes - this.pinnedBytes - this.checkpointBytes;
  }

  /** Reclaims when the freed bytes roughly match the written ones, or when no head is left. */
  async reclaimWhenDue(segmentBytes: number, hasHeads: boolean): Promise<void> {
    const least = hasHeads ? Math.max(segmentBytes / 2, this.baselines.snapshotBytes) : LEAST_BYTES;
    if (this.freeable > least) await this.reclaim();
  }

  /** Writes a checkpoint and unlinks the unneeded segments before it. Concurrent calls share one run. */
  reclaim(): Promise<void> {
    this.running ??= this.pass().finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  private async pass(): Promise<void> {
    const { log, ledger, record } = this,
      first = log.startSegment(),
      snapshot = this.baselines.snapshot();
    let bytes = 0;
    for (let last = false; !last; ) {
      const before = log.appendedBytes;
      while (!last && log.unwrittenBytes < COMMIT_BYTES) last = snapshot.next().done === true;
      bytes += log.appendedBytes - before;
      if (!last) await log.commit();
    }
    crashPoint("reclaim/baselines-written");
    const before = log.appendedBytes;
    // Do not await before the commit: kept and deleted segments are one decision.
    const old = log.segments().filter((s) => s < first),
      gone = old.filter((s) => !ledger.isPinned(s));
    const done = new Set(this.doneElsewhere());
    for (const s of old) if (ledger.isPinned(s)) for (const ulid of ledger.doneIn(s)) done.add(ulid);
    for (const ulid of done) {
      record.reset();
      encodeDoneRecord(ulid, record);
      log.append(record.finish());
    }
    record.reset();
    encodeCheckpointRecord(first, record);
    log.append(record.finish());
    bytes += log.appendedBytes - before;
    await log.commit();
    crashPoint("reclaim/checkpoint-synced");
    log.remove(gone);
    crashPoint("reclaim/segments-removed");
    ledger.forgetSegment(gone);
    this.checkpointBytes = bytes;
  }
}
