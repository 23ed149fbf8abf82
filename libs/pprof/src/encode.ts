import { ByteWriter } from "@cinderblock/bytes";

/** What a merged profile says about itself; strings are texts here. */
export interface PprofHeader {
  sampleTypes: readonly { type: string; unit: string }[];
  periodType?: { type: string; unit: string };
  period: bigint;
  timeNanos: bigint;
  durationNanos: bigint;
}

/** Columns of a profile to encode; all references are 0-based. */
export interface PprofSource {
  strings: { bytes: Uint8Array; offset: Uint32Array };
  /** function -> name, systemName, filename, startLine */
  functionWords: Uint32Array;
  /** mapping -> start lo, hi, limit lo, hi, offset lo, hi, filename, buildId, flags */
  mappingWords: Uint32Array;
  /** location -> mapping, address lo, hi, folded, (function, line)… */
  locationWords: Uint32Array;
  locationOffset: Uint32Array;
  /** sample -> locations[start, end), leaf first */
  sampleOffset: Uint32Array;
  sampleLocation: Uint32Array;
  /** sample -> one value for each sample type; samples whose values are all 0 may be there */
  value: BigInt64Array;
  /** sample -> its string labels [offset[i], offset[i + 1]) */
  labels?: { offset: Uint32Array; key: Uint32Array; value: Uint32Array };
}

/** Encodes google.v1.Profile: ids are positions + 1; `strings` must start with "". Format: docs/formats/pprof.md */
export function encodePprof(header: PprofHeader, s: PprofSource): Uint8Array {
  const out = new ByteWriter(4096 + s.strings.bytes.length + s.sampleLocation.length * 2);
  const body = new ByteWriter(1024);
  const extra: string[] = [];
  const base = Math.max(0, s.strings.offset.length - 1);
  const stringIndex = (text: string): number => {
    if (text === "") return 0;
    let at = extra.indexOf(text);
    if (at < 0) at = extra.push(text) - 1;
    return base + at;
  };
  const message = (field: number): void => { out.uvarint(field * 8 + 2); out.uvarint(body.length); out.bytes(body.finish()); };
  const field = (n: number, value: number): void => { if (value !== 0) { body.uvarint(n * 8); body.uvarint(value); } };
  const field64 = (n: number, lo: number, hi: number): void => { if ((lo | hi) !== 0) { body.uvarint(n * 8); if (hi === 0) body.uvarint(lo); else body.uvarint64((BigInt(hi) << 32n) | BigInt(lo)); } };
  const int64 = (n: number, value: bigint): void => { if (value !== 0n) { out.uvarint(n * 8); out.uvarint64(value); } };
  const types = Math.max(1, header.sampleTypes.length);
  const defaultType = header.sampleTypes.length > 0 ? stringIndex(header.sampleTypes[0]!.type) : 0;

  for (const t of header.sampleTypes) { body.reset(); field(1, stringIndex(t.type)); field(2, stringIndex(t.unit)); message(1); }
  const inner = new ByteWriter(256);
  const words = new Int32Array(s.value.buffer, s.value.byteOffset, s.value.length * 2);
  for (let i = 0; i + 1 < s.sampleOffset.length; i++) {
    body.reset();
    putLocations(body, inner, s.sampleLocation, s.sampleOffset[i]!, s.sampleOffset[i + 1]!);
    inner.reset();
    for (let k = i * types; k < (i + 1) * types; k++) putInt64(inner, words[2 * k]!, words[2 * k + 1]!);
    body.u8(18);
    body.uvarint(inner.length);
    body.bytes(inner.finish());
    if (s.labels) putLabels(body, inner, s.labels, i);
    message(2);
  }
  const m = s.mappingWords;
  for (let i = 0; i * 9 < m.length; i++) {
    const at = i * 9;
    body.reset();
    field(1, i + 1);
    field64(2, m[at]!, m[at + 1]!);
    field64(3, m[at + 2]!, m[at + 3]!);
    field64(4, m[at + 4]!, m[at + 5]!);
    field(5, m[at + 6]!);
    field(6, m[at + 7]!);
    const flags = m[at + 8]!;
    field(7, flags & 8 ? 1 : 0);
    field(8, flags & 4 ? 1 : 0);
    field(9, flags & 2 ? 1 : 0);
    field(10, flags & 1 ? 1 : 0);
    message(3);
  }
  const w = s.locationWords;
  for (let i = 0; i + 1 < s.locationOffset.length; i++) {
    const at = s.locationOffset[i]!, end = s.locationOffset[i + 1]!;
    body.reset();
    field(1, i + 1);
    field(2, w[at]! + 1);
    field64(3, w[at + 1]!, w[at + 2]!);
    for (let k = at + 4; k + 1 < end; k += 2) putLine(body, inner, w[k]!, w[k + 1]! | 0);
    field(5, w[at + 3]!);
    message(4);
  }
  const f = s.functionWords;
  for (let i = 0; i * 4 < f.length; i++) {
    body.reset();
    field(1, i + 1);
    field(2, f[i * 4]!);
    field(3, f[i * 4 + 1]!);
    field(4, f[i * 4 + 2]!);
    field(5, f[i * 4 + 3]!);
    message(5);
  }
  if (header.periodType) { body.reset(); field(1, stringIndex(header.periodType.type)); field(2, stringIndex(header.periodType.unit)); }
  const periodType = header.periodType ? body.copy() : undefined;
  for (let i = 0; i < base; i++) {
    const at = s.strings.offset[i]!, end = s.strings.offset[i + 1]!;
    out.u8(50);
    out.uvarint(end - at);
    out.bytes(s.strings.bytes.subarray(at, end));
  }
  if (base === 0) { out.u8(50); out.u8(0); }
  for (const text of extra) { out.u8(50); out.str(text); }
  int64(9, header.timeNanos);
  int64(10, header.durationNanos);
  if (periodType) { out.u8(90); out.uvarint(periodType.length); out.bytes(periodType); }
  int64(12, header.period);
  if (defaultType !== 0) { out.uvarint(14 * 8); out.uvarint(defaultType); }
  return out.take();
}

// The loops over what a sample or a location holds are functions of their own: they run compiled soon, also in a process
// that answers its first query.

/** Sample.location_id, packed. */
function putLocations(out: ByteWriter, inner: ByteWriter, locations: Uint32Array, from: number, end: number): void {
  inner.reset();
  inner.reserve((end - from) * 5);
  for (let k = from; k < end; k++) inner.uvarint(locations[k]! + 1);
  if (inner.length === 0) return;
  out.u8(10);
  out.uvarint(inner.length);
  out.bytes(inner.finish());
}

function putInt64(out: ByteWriter, lo: number, hi: number): void {
  if (hi >= 0 && hi < 0x200000) out.uvarint(hi * 4294967296 + (lo >>> 0)); else out.uvarint64((BigInt(hi) << 32n) | BigInt(lo >>> 0));
}

/** Sample.label of sample `i`: strings only. */
function putLabels(out: ByteWriter, inner: ByteWriter, labels: NonNullable<PprofSource["labels"]>, i: number): void {
  for (let k = labels.offset[i]!; k < labels.offset[i + 1]!; k++) {
    inner.reset();
    inner.u8(8);
    inner.uvarint(labels.key[k]!);
    inner.u8(16);
    inner.uvarint(labels.value[k]!);
    out.u8(26);
    out.uvarint(inner.length);
    out.bytes(inner.finish());
  }
}

/** Location.line */
function putLine(out: ByteWriter, inner: ByteWriter, functionIndex: number, line: number): void {
  inner.reset();
  inner.u8(8);
  inner.uvarint(functionIndex + 1);
  if (line !== 0) { inner.u8(16); if (line > 0) inner.uvarint(line); else inner.uvarint64(BigInt(line)); }
  out.u8(34);
  out.uvarint(inner.length);
  out.bytes(inner.finish());
}
