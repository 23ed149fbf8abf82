import { type ByteWriter, crc32c } from "@cinderblock/bytes";

/**
 * A log segment's frames. Format: docs/formats/head-log.md
 *
 *   segment = "CBLG" <4b> | version 1 <4b> | frames
 *   frame   = length of the payload <4b> | crc32c of the payload <4b> | payload
 *   payload = type <1b> | content | trailer
 *   trailer = length of the payload <4b> | END_MARK <8b>
 */
const MAGIC = 0x4342_4c47; // "CBLG"
const VERSION = 1;
/** Size of a segment's header in bytes. Format: docs/formats/head-log.md */
export const SEGMENT_HEADER_BYTES = 8;
const FRAME_HEADER = 8;
/**
 * Ends every payload, so that a search in a damaged stretch finds the next frame without trying every byte.
 */
const END_MARK = Buffer.from([0xc1, 0x4e, 0xde, 0xb1, 0x0c, 0xcb, 0x1f, 0xe7]);
const TRAILER_BYTES = 4 + END_MARK.length;
/** Bytes of a frame in addition to the content of its record. */
export const FRAME_BYTES = FRAME_HEADER + TRAILER_BYTES;
/** Maximum record size; a larger length counts as damaged. One read still loads a segment with such a record. */
export const MAX_RECORD_BYTES = 1 << 30;
/** Number of record types in logs before the trailer. */
const OLD_TYPES = 5;
/** Type of a batch mark. The remains of a torn batch lie after the last batch mark. */
const BATCH_MARK = 7;
/** Maximum bytes that a search may checksum, as a multiple of the segment size, whatever the damage. */
const SEARCH_BUDGET = 8;

/** Appends the header of a segment: magic and version. */
export function writeSegmentHeader(out: ByteWriter): void {
  out.u32be(MAGIC);
  out.u32be(VERSION);
}

/** Appends the frame of a record. */
export function writeLogFrame(content: Uint8Array, out: ByteWriter): void {
  const size = content.length + TRAILER_BYTES;
  out.reserve(FRAME_HEADER + size);
  out.u32be(size);
  const sumAt = out.length;
  out.u32be(0);
  const from = out.length;
  out.bytes(content);
  out.u32be(size);
  out.bytes(END_MARK);
  out.view.setUint32(sumAt, crc32c(out.buffer, from, out.length));
}

const BATCH_MARK_CONTENT = Uint8Array.of(BATCH_MARK);
/** Ends a batch: records of one push are read back together or not at all. */
export function writeBatchMark(out: ByteWriter): void {
  writeLogFrame(BATCH_MARK_CONTENT, out);
}

/** Result of reading segments: the intact records, and the lost bytes (torn ends, damaged ranges). */
export interface ReadReport {
  records: number;
  tornBytes: number;
  damaged: { segment: number; offset: number; bytes: number }[];
}

/** Positions of the records in a segment: pairs of start and end, without trailers. */
export class SegmentRecords {
  /** start and end of each record */
  private readonly at: number[] = [];
  /** size of the segment file in bytes, for the segment ledger */
  sizeBytes = 0;

  get length(): number {
    return this.at.length / 2;
  }
  push(start: number, end: number): void {
    this.at.push(start, end);
  }
  /** Drops the records from index `length` on. */
  truncate(length: number): void {
    this.at.length = 2 * length;
  }
  startOf(record: number): number {
    return this.at[2 * record]!;
  }
  recordAt(bytes: Uint8Array, record: number): Uint8Array {
    return bytes.subarray(this.at[2 * record]!, this.at[2 * record + 1]!);
  }
}

/**
 * Finds the intact records of a segment. A torn tail ends the segment; a damaged record inside is reported
 * and skipped. In a segment with batch marks, the records after the last mark were never acknowledged and are
 * left out.
 */
export function scanSegment(bytes: Buffer, segment: number, report: ReadReport): SegmentRecords {
  const out = new SegmentRecords();
  out.sizeBytes = bytes.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < SEGMENT_HEADER_BYTES || view.getUint32(0) !== MAGIC || view.getUint32(4) !== VERSION) {
    if (bytes.length > SEGMENT_HEADER_BYTES) report.damaged.push({ segment, offset: 0, bytes: bytes.length });
    else report.tornBytes += bytes.length;
    return out;
  }
  const search = new FrameSearch(bytes, view);
  let records = 0,
    trailers = false;
  // Position of the last batch mark, and the counts up to it.
  let marked = 0,
    markedRecords = 0,
    markedEnd = SEGMENT_HEADER_BYTES,
    damagedAtMark = report.damaged.length;
  let at = SEGMENT_HEADER_BYTES;
  while (at < bytes.length) {
    const size = search.intact(at);
    if (size >= 0) {
      const start = at + FRAME_HEADER;
      at = start + size;
      const end = search.contentEnd(start, at);
      if (end < at) trailers = true;
      records++;
      if (bytes[start] === BATCH_MARK) {
        marked = out.length;
        markedRecords = records;
        markedEnd = at;
        damagedAtMark = report.damaged.length;
      } else out.push(start, end);
      continue;
    }
    const next = search.next(at);
    if (next < 0) {
      report.tornBytes += bytes.length - at;
      break;
    }
    report.damaged.push({ segment, offset: at, bytes: next - at });
    at = next;
  }
  if (trailers && marked < out.length) {
    report.tornBytes += at - markedEnd;
    report.damaged.length = damagedAtMark;
    out.truncate(marked);
    records = markedRecords;
  }
  report.records += records;
  return out;
}

/** Reads frame headers, and finds the next intact frame after a damaged one. */
class FrameSearch {
  private readonly bytes: Buffer;
  private readonly view: DataView;
  private readonly hasMarks: boolean;
  private budget: number;

  constructor(bytes: Buffer, view: DataView) {
    this.bytes = bytes;
    this.view = view;
    this.hasMarks = bytes.includes(END_MARK);
    this.budget = SEARCH_BUDGET * bytes.length;
  }

  private sizeAt(at: number): number {
    if (at < SEGMENT_HEADER_BYTES || at + FRAME_HEADER > this.bytes.length) return -1;
    const size = this.view.getUint32(at);
    return size === 0 || size > MAX_RECORD_BYTES || at + FRAME_HEADER + size > this.bytes.length ? -1 : size;
  }

  /** Payload size of an intact frame at `at`, or -1. */
  intact(at: number): number {
    const size = this.sizeAt(at);
    if (size < 0) return -1;
    const start = at + FRAME_HEADER;
    return crc32c(this.bytes, start, start + size) === this.view.getUint32(at + 4) ? size : -1;
  }

  /** End of the content of an intact payload: before its trailer, if the payload has one. */
  contentEnd(start: number, end: number): number {
    const { bytes, view } = this;
    if (end - start <= TRAILER_BYTES || view.getUint32(end - TRAILER_BYTES) !== end - start) return end;
    return bytes.compare(END_MARK, 0, END_MARK.length, end - END_MARK.length, end) === 0
      ? end - TRAILER_BYTES
      : end;
  }

  /** Whether the frame at `at` is intact; false once the search budget is used up. */
  private tried(at: number): boolean {
    const size = this.sizeAt(at);
    if (size < 0 || size > this.budget) return false;
    this.budget -= size;
    return this.intact(at) >= 0;
  }

  /** Start of the next intact frame after a damaged one at `at`, or -1. */
  next(at: number): number {
    const size = this.sizeAt(at);
    if (size >= 0 && this.tried(at + FRAME_HEADER + size)) return at + FRAME_HEADER + size;
    return this.hasMarks ? this.nextByMark(at) : this.nextByShape(at);
  }

  /**
   * Tries two frames at each end mark: the frame that the mark ends, and the frame that begins behind it.
   * @returns start of the first intact frame; -1 without one
   */
  private nextByMark(at: number): number {
    const { bytes, view } = this;
    for (let p = bytes.indexOf(END_MARK, at); p >= 0; p = bytes.indexOf(END_MARK, p + 1)) {
      const end = p + END_MARK.length,
        start = p - 4 >= 0 ? end - view.getUint32(p - 4) - FRAME_HEADER : -1;
      if (start > at && this.tried(start)) return start;
      if (end > at && this.tried(end)) return end;
    }
    return -1;
  }

  /** In logs without marks, a frame has a known type and is followed by another such frame or by the end. */
  private nextByShape(at: number): number {
    for (let p = at + 1; p + FRAME_HEADER < this.bytes.length; p++) {
      const size = this.sizeAt(p);
      if (size < 0 || !this.hasOldType(p)) continue;
      const end = p + FRAME_HEADER + size;
      if (end !== this.bytes.length && (this.sizeAt(end) < 0 || !this.hasOldType(end))) continue;
      if (this.tried(p)) return p;
    }
    return -1;
  }

  private hasOldType(at: number): boolean {
    const type = this.bytes[at + FRAME_HEADER]!;
    return type >= 1 && type <= OLD_TYPES;
  }
}
