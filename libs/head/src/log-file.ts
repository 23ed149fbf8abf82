import {
  closeSync,
  fdatasync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ByteWriter, crc32c } from "@cinderblock/bytes";
import { Deferred } from "@cinderblock/async";
import { makeDirectorySynced, syncDirectory } from "@cinderblock/files";

/** Segment header: magic and version. Format: docs/formats/head-log.md */
const MAGIC = 0x4342_4c47; // "CBLG"
const VERSION = 1;
const HEADER = 8;
const FRAME = 8;
/** A record above this is taken for a torn length. */
const MAX_RECORD = 256 << 20;

export function segmentName(n: number): string {
  return `${String(n).padStart(8, "0")}.log`;
}

export function listSegments(dir: string): number[] {
  return readdirSync(dir)
    .map((f) => /^(\d{8})\.log$/.exec(f)?.[1])
    .filter((n): n is string => n !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

export interface LogOptions {
  /** bytes after which a new segment begins */
  segmentBytes: number;
  /** called when a sync fails: the process must end, a failed fsync is never retried */
  onFailure: (err: Error) => void;
  /** without it nothing is synced: only for the test that shows why it is needed */
  sync: boolean;
}

/** Appends records and syncs them in groups: while one sync runs, the records of the next gather. */
export class LogWriter {
  private readonly pending = new ByteWriter(1 << 16);
  private waiters: Deferred<void>[] = [];
  private syncing = false;
  private scheduled = false;
  private fd = -1;
  private size = 0;
  private failed: Error | undefined;
  segment = 0;
  syncs = 0;

  private readonly dir: string;
  private readonly options: LogOptions;
  constructor(dir: string, options: LogOptions) {
    this.dir = dir;
    this.options = options;
  }

  open(segment: number): void {
    makeDirectorySynced(this.dir);
    this.roll(segment);
  }

  private roll(segment: number): void {
    if (this.fd >= 0) {
      if (this.options.sync) fsyncSync(this.fd);
      closeSync(this.fd);
    }
    this.segment = segment;
    this.fd = openSync(join(this.dir, segmentName(segment)), "w");
    const head = new ByteWriter(HEADER);
    head.u32be(MAGIC);
    head.u32be(VERSION);
    writeSync(this.fd, head.finish());
    if (this.options.sync) {
      fsyncSync(this.fd);
      syncDirectory(this.dir);
    }
    this.size = HEADER;
  }

  /** Queues a record; it is durable when a later `commit` resolves. Returns the segment it goes to. */
  append(payload: Uint8Array): number {
    const p = this.pending;
    p.u32be(payload.length);
    p.u32be(crc32c(payload));
    p.bytes(payload);
    return this.segment;
  }

  /** Resolves when everything appended so far is on disk. */
  commit(): Promise<void> {
    if (this.failed) return Promise.reject(this.failed);
    const d = new Deferred<void>();
    this.waiters.push(d);
    this.schedule();
    return d.promise;
  }

  /** A sync begins when this turn of the loop ends: records of all messages that wait already share it. */
  private schedule(): void {
    if (this.syncing || this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (!this.failed && !this.syncing && this.waiters.length > 0) this.flush();
    });
  }

  private flush(): void {
    const { waiters } = this;
    this.waiters = [];
    this.syncing = true;
    try {
      const bytes = this.pending.finish();
      for (let at = 0; at < bytes.length; ) at += writeSync(this.fd, bytes, at, bytes.length - at);
      this.size += bytes.length;
      this.pending.reset();
    } catch (err) {
      this.fail(err as Error, waiters);
      return;
    }
    const done = (err: NodeJS.ErrnoException | null): void => {
      if (err) {
        this.fail(err, waiters);
        return;
      }
      this.syncs++;
      this.syncing = false;
      // A new segment only when nothing is queued for the old one.
      if (this.size >= this.options.segmentBytes && this.pending.length === 0) {
        try {
          this.roll(this.segment + 1);
        } catch (e) {
          this.fail(e as Error, waiters);
          return;
        }
      }
      for (const w of waiters) w.resolve();
      if (this.waiters.length > 0) this.schedule();
    };
    if (this.options.sync) fdatasync(this.fd, done);
    else setImmediate(done, null);
  }

  private fail(err: Error, waiters: Deferred<void>[]): void {
    this.failed = err;
    for (const w of [...waiters, ...this.waiters]) w.reject(err);
    this.waiters = [];
    this.options.onFailure(err);
  }

  /** Begins a new segment, so that the one before can go. Call only after a commit with nothing queued since. */
  rollIfIdle(minBytes: number): void {
    if (!this.syncing && this.pending.length === 0 && this.size > minBytes) this.roll(this.segment + 1);
  }

  get unsynced(): number {
    return this.pending.length;
  }
  get segmentSize(): number {
    return this.size;
  }

  /** Deletes a segment that nothing needs any more. */
  remove(segment: number): void {
    unlinkSync(join(this.dir, segmentName(segment)));
  }

  async close(): Promise<void> {
    if (this.fd < 0) return;
    if (this.pending.length > 0 || this.syncing) await this.commit();
    closeSync(this.fd);
    this.fd = -1;
  }
}

export interface ReadReport {
  records: number;
  tornBytes: number;
  damaged: { segment: number; offset: number; bytes: number }[];
}

/** Reads a segment: every intact record goes to `on`; a torn tail ends it, a damaged record inside is reported and skipped. */
export function readSegment(
  dir: string,
  segment: number,
  report: ReadReport,
  on: (payload: Uint8Array) => void,
): void {
  const bytes = readFileSync(join(dir, segmentName(segment)));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER || view.getUint32(0) !== MAGIC || view.getUint32(4) !== VERSION) {
    if (bytes.length > HEADER) report.damaged.push({ segment, offset: 0, bytes: bytes.length });
    else report.tornBytes += bytes.length;
    return;
  }
  const intact = (at: number): number => {
    if (at + FRAME > bytes.length) return -1;
    const size = view.getUint32(at);
    if (size === 0 || size > MAX_RECORD || at + FRAME + size > bytes.length) return -1;
    return crc32c(bytes, at + FRAME, at + FRAME + size) === view.getUint32(at + 4) ? size : -1;
  };
  let at = HEADER;
  while (at < bytes.length) {
    const size = intact(at);
    if (size >= 0) {
      report.records++;
      on(bytes.subarray(at + FRAME, at + FRAME + size));
      at += FRAME + size;
      continue;
    }
    // Damaged: go on where its length says, else where the next intact record begins.
    const claimed = at + FRAME <= bytes.length ? view.getUint32(at) : 0;
    let next = -1;
    if (claimed > 0 && claimed <= MAX_RECORD && intact(at + FRAME + claimed) >= 0)
      next = at + FRAME + claimed;
    for (let p = at + 1; next < 0 && p + FRAME < bytes.length && p < at + (4 << 20); p++)
      if (intact(p) >= 0) next = p;
    if (next < 0) {
      report.tornBytes += bytes.length - at;
      return;
    }
    report.damaged.push({ segment, offset: at, bytes: next - at });
    at = next;
  }
}
