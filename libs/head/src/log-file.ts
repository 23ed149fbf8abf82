import {
  closeSync,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ByteWriter } from "@cinderblock/bytes";
import { Deferred } from "@cinderblock/async";
import { noRoom } from "@cinderblock/errors";
import { isNoSpace, isUnwritable, makeDirectorySynced, syncDirectory } from "@cinderblock/files";
import {
  FRAME_BYTES,
  MAX_RECORD_BYTES,
  type ReadReport,
  scanSegment,
  SEGMENT_HEADER_BYTES,
  writeBatchMark,
  writeLogFrame,
  writeSegmentHeader,
} from "./log-frames.ts";

/** File name of segment `n`. */
export function segmentName(n: number): string {
  return `${String(n).padStart(8, "0")}.log`;
}

/** Segment numbers in a log directory, ascending. */
export function listSegments(dir: string): number[] {
  return readdirSync(dir)
    .map((f) => /^(\d{8})\.log$/.exec(f)?.[1])
    .filter((n): n is string => n !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** Reads a complete segment and passes every intact record to `on`. */
export function readSegment(
  dir: string,
  segment: number,
  report: ReadReport,
  on: (payload: Uint8Array) => void,
): void {
  const bytes = readFileSync(join(dir, segmentName(segment)));
  const records = scanSegment(bytes, segment, report);
  for (let i = 0; i < records.length; i++) on(records.recordAt(bytes, i));
}

/** Settings of a log writer. */
export interface LogOptions {
  /** bytes after which a new segment begins */
  segmentBytes: number;
  /** called when a write or a sync fails: the process must end, a failed fsync is never retried */
  onFailure: (err: Error) => void;
  /** makes room when a write finds none; true: the write is tried again at once */
  onNoSpace?: () => boolean;
  /** called when writes stop for lack of disk space, and when they continue (`undefined`) */
  onStall?: (err: Error | undefined) => void;
  /** calls a function after some milliseconds; tests replace it */
  later?: (ms: number, run: () => void) => void;
  /** false: sync nothing, only for the test that shows why syncs are needed */
  sync: boolean;
}

/** Interval between attempts of a write that found no disk space. */
const STALL_RETRY_MS = 200;

/** Maximum buffer size to keep; a buffer that a large batch enlarged is released. */
const KEPT_BYTES = 4 << 20;

/** Records of one write to one segment. */
interface Part {
  segment: number;
  bytes: Uint8Array;
}

/**
 * Appends records and syncs them in groups: while one sync runs, the records of the next group gather. A
 * segment ends at a commit, even under load without pauses, and later records go to the next file. Records
 * between two commits lie in one segment and are read back together or not at all.
 */
export class LogWriter {
  /** unwritten records for segment `target` */
  private pending = new ByteWriter(1 << 16);
  /** the buffer that is being written, or the next one to fill */
  private spare = new ByteWriter(1 << 16);
  /** records of full segments that wait for the previous sync */
  private sealed: Part[] = [];
  private target = 0;
  private waiters: Deferred<void>[] = [];
  private syncing = false;
  private scheduled = false;
  private fd = -1;
  /** number of the open log segment */
  private segment = -1;
  private written = 0;
  private failed: Error | undefined;
  /** error for commits while a batch waits for disk space */
  private stall: Error | undefined;
  /** segment -> bytes on disk and in flight to it */
  private readonly sizes = new Map<number, number>();
  private total = 0;
  syncs = 0;
  /** bytes of all records since the start */
  appendedBytes = 0;

  private readonly dir: string;
  private readonly options: LogOptions;
  constructor(dir: string, options: LogOptions) {
    this.dir = dir;
    this.options = options;
  }

  /** Counts a segment of an earlier run. */
  adopt(segment: number, sizeBytes: number): void {
    this.grow(segment, sizeBytes);
  }

  /**
   * Directs later writes to a segment that does not exist yet. The first commit creates the file, so a start
   * needs no disk space.
   */
  open(segment: number): void {
    makeDirectorySynced(this.dir);
    this.target = segment;
  }

  private create(segment: number): void {
    const path = join(this.dir, segmentName(segment));
    let fd: number;
    try {
      fd = openSync(path, "wx");
    } catch (err) {
      // The file system may also be out of inodes.
      if (!isNoSpace(err) || !this.options.onNoSpace?.()) throw err;
      fd = openSync(path, "wx");
    }
    try {
      const header = new ByteWriter(SEGMENT_HEADER_BYTES);
      writeSegmentHeader(header);
      this.write(fd, header.finish(), 0);
      if (this.options.sync) {
        fsyncSync(fd);
        syncDirectory(this.dir);
      }
    } catch (err) {
      closeSync(fd);
      unlinkSync(path);
      throw err;
    }
    // The previous segment was synced before its commits were answered.
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = fd;
    this.segment = segment;
    this.written = SEGMENT_HEADER_BYTES;
    this.grow(segment, SEGMENT_HEADER_BYTES);
  }

  /** Queues a record, which is durable when a later `commit` resolves. @returns its segment */
  append(content: Uint8Array): number {
    if (content.length + FRAME_BYTES > MAX_RECORD_BYTES) {
      // End the process: the rows of this record are in a head, but no log can hold the record.
      this.fail(
        new RangeError(
          `the log record has ${content.length} bytes; the limit is ${MAX_RECORD_BYTES - FRAME_BYTES}`,
        ),
        [],
      );
      throw this.failed!;
    }
    writeLogFrame(content, this.pending);
    this.grow(this.target, content.length + FRAME_BYTES);
    this.appendedBytes += content.length + FRAME_BYTES;
    return this.target;
  }

  /** Checks that no batch waits for disk space. @throws `no-room` */
  requireRoom(): void {
    if (this.stall) throw this.stall;
  }

  /**
   * Resolves when everything appended so far is on disk. Rejects with `no-room` when the disk accepts no
   * writes: the records stay queued and are written in order once there is space.
   */
  commit(): Promise<void> {
    if (this.failed ?? this.stall) return Promise.reject(this.failed ?? this.stall!);
    if ((this.sizes.get(this.target) ?? 0) >= this.options.segmentBytes) this.startSegment();
    const d = new Deferred<void>();
    this.waiters.push(d);
    this.schedule();
    return d.promise;
  }

  /**
   * Directs later records to a new segment, and returns its number. Do not call between the records of one
   * push.
   */
  startSegment(): number {
    if (this.pending.length > 0) {
      writeBatchMark(this.pending);
      this.grow(this.target, FRAME_BYTES + 1);
      this.sealed.push({ segment: this.target, bytes: this.pending.transferBytes() });
    }
    return ++this.target;
  }

  /**
   * Starts a sync at the end of this event-loop turn, so that the records of all queued messages share the
   * sync.
   */
  private schedule(): void {
    if (this.syncing || this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (!this.failed && !this.syncing && this.waiters.length > 0) this.flush();
    });
  }

  private flush(): void {
    const { waiters, sealed } = this;
    this.waiters = [];
    this.sealed = [];
    this.syncing = true;
    if (this.pending.length > 0) {
      writeBatchMark(this.pending);
      this.grow(this.target, FRAME_BYTES + 1);
    }
    const full = this.pending;
    this.pending = this.spare;
    this.spare = full;
    this.writeParts(
      [...sealed, { segment: this.target, bytes: full.finish() }],
      0,
      () => {
        if (full.buffer.length > KEPT_BYTES) this.spare = new ByteWriter(1 << 16);
        else full.reset();
        for (const w of waiters) w.resolve();
      },
      waiters,
    );
  }

  /**
   * Writes and syncs parts in order. A part without disk space waits, and the parts after it wait as well.
   */
  private writeParts(
    parts: readonly Part[],
    at: number,
    onSynced: () => void,
    waiters: readonly Deferred<void>[],
  ): void {
    const part = parts[at]!,
      isLast = at === parts.length - 1;
    const done = (err: NodeJS.ErrnoException | null): void => {
      if (err) {
        this.fail(err, waiters);
        return;
      }
      this.syncs++;
      if (!isLast) {
        this.writeParts(parts, at + 1, onSynced, waiters);
        return;
      }
      this.syncing = false;
      onSynced();
      if (this.waiters.length > 0) this.schedule();
    };
    if (part.bytes.length === 0) {
      setImmediate(done, null); // there is nothing to write: the previous sync covers all records
      return;
    }
    try {
      if (part.segment !== this.segment) this.create(part.segment);
      this.write(this.fd, part.bytes, this.written);
      this.written += part.bytes.length;
    } catch (err) {
      // The part counts as unwritten: the same bytes go to the same position later.
      if (isUnwritable(err))
        this.waitForRoom(err as Error, waiters, () => this.writeParts(parts, at, onSynced, []));
      else this.fail(err as Error, waiters);
      return;
    }
    this.endStall();
    if (this.options.sync) fdatasync(this.fd, done);
    else setImmediate(done, null);
  }

  /**
   * Refuses commits until a batch finds disk space. The batch's pushes are refused as well, although their
   * rows are in the heads. A later write stores these rows, and the senders' retries have the same IDs.
   */
  private waitForRoom(err: Error, waiters: readonly Deferred<void>[], again: () => void): void {
    if (!this.stall) {
      this.stall = noRoom("disk", `writing the log failed: ${err.message}`);
      this.options.onStall?.(err);
    }
    for (const w of [...waiters, ...this.waiters]) w.reject(this.stall);
    this.waiters = [];
    const later = this.options.later ?? ((ms, run) => void setTimeout(run, ms).unref());
    later(STALL_RETRY_MS, () => {
      if (!this.failed) again();
    });
  }

  private endStall(): void {
    if (!this.stall) return;
    this.stall = undefined;
    this.options.onStall?.(undefined);
  }

  /**
   * Appends all bytes to a file of `size` bytes. A write that runs out of space removes its partial bytes.
   */
  private write(fd: number, bytes: Uint8Array, size: number): void {
    const all = (): void => {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, size + at);
    };
    try {
      all();
    } catch (err) {
      if (!isNoSpace(err)) throw err;
      ftruncateSync(fd, size);
      if (!this.options.onNoSpace?.()) throw err;
      try {
        all();
      } catch (second) {
        if (isNoSpace(second)) ftruncateSync(fd, size);
        throw second;
      }
    }
  }

  private fail(err: Error, waiters: readonly Deferred<void>[]): void {
    this.failed = err;
    for (const w of [...waiters, ...this.waiters]) w.reject(err);
    this.waiters = [];
    this.options.onFailure(err);
  }

  private grow(segment: number, bytes: number): void {
    this.sizes.set(segment, (this.sizes.get(segment) ?? 0) + bytes);
    this.total += bytes;
  }

  /** Segments that exist, or will exist after the next commit, in order. */
  segments(): number[] {
    return [...this.sizes.keys()].sort((a, b) => a - b);
  }
  sizeOf(segment: number): number {
    return this.sizes.get(segment) ?? 0;
  }
  /** Bytes that are not written yet. */
  get unwrittenBytes(): number {
    return this.sealed.reduce((n, part) => n + part.bytes.length, this.pending.length);
  }
  /** Bytes of all segments. */
  get totalBytes(): number {
    return this.total;
  }

  /** Deletes unneeded closed segments, and starts syncing the directory. */
  remove(segments: readonly number[]): void {
    if (segments.length === 0) return;
    for (const s of segments) {
      try {
        unlinkSync(join(this.dir, segmentName(s)));
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== "ENOENT") throw err;
      }
      this.total -= this.sizes.get(s) ?? 0;
      this.sizes.delete(s);
    }
    if (this.options.sync) syncDirectory(this.dir);
  }

  /** Commits the queued records. Without disk space they are dropped: their pushes were not acknowledged. */
  async close(): Promise<void> {
    if (!this.stall && (this.unwrittenBytes > 0 || this.syncing))
      await this.commit().catch((err: unknown) => {
        if (err !== this.stall) throw err;
      });
    if (this.stall) this.failed ??= this.stall;
    if (this.fd < 0) return;
    closeSync(this.fd);
    this.fd = -1;
  }
}
