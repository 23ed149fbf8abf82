import { ByteWriter, compareUtf8, crc32c } from "@cinderblock/bytes";

/**
 * One series: labels in stored order, times of its first and last profile in nanoseconds, and its ordinal in
 * profiles.parquet.
 */
export interface IndexSeries {
  labels: readonly { name: string; value: string }[];
  fingerprint: bigint;
  minTime: bigint;
  maxTime: bigint;
  seriesIndex: number;
  /** KB and checksum of the chunk: 0 in all known files */
  kb?: number;
  checksum?: number;
}

function section(out: ByteWriter, body: () => void): void {
  const at = out.length;
  out.u32be(0);
  body();
  out.view.setUint32(at, out.length - at - 4);
  out.u32be(crc32c(out.buffer, at + 4, out.length));
}

/** Distance in series between stored fingerprint offsets. */
const FINGERPRINT_STEP = 1024;

/**
 * Encodes `index.tsdb`. Series must be in label-set order. Format: docs/formats/index-tsdb.md
 */
export function encodeIndex(series: readonly IndexSeries[]): Uint8Array {
  const symbolSet = new Set<string>();
  const postings = new Map<string, Map<string, number[]>>();
  for (const s of series)
    for (const l of s.labels) {
      symbolSet.add(l.name);
      symbolSet.add(l.value);
    }
  const symbols = [...symbolSet].sort(compareUtf8);
  const symbolId = new Map(symbols.map((s, i) => [s, i]));

  const out = new ByteWriter(4096);
  out.u32be(0xbaaad700);
  out.u8(2);
  const toc = {
    symbols: out.length,
    series: 0,
    labelIndices: 0,
    labelIndicesTable: 0,
    postings: 0,
    postingsTable: 0,
    fingerprints: 0,
  };
  section(out, () => {
    out.u32be(symbols.length);
    for (const s of symbols) out.str(s);
  });

  toc.series = out.length;
  const all: number[] = [];
  const fingerprints: { ref: number; fingerprint: bigint }[] = [];
  let from = 0n,
    through = 0n;
  const body = new ByteWriter(256);
  series.forEach((s, ordinal) => {
    out.align(16);
    const ref = out.length / 16;
    body.reset();
    body.u64be(s.fingerprint);
    body.uvarint(s.labels.length);
    for (const l of s.labels) {
      body.uvarint(symbolId.get(l.name)!);
      body.uvarint(symbolId.get(l.value)!);
    }
    body.uvarint(1);
    body.varint64(s.minTime);
    body.uvarint64(s.maxTime - s.minTime);
    body.uvarint(s.kb ?? 0);
    body.uvarint(s.seriesIndex);
    body.u32be(s.checksum ?? 0);
    out.uvarint(body.length);
    out.bytes(body.finish());
    out.u32be(crc32c(body.finish()));
    all.push(ref);
    if (ordinal % FINGERPRINT_STEP === 0) fingerprints.push({ ref, fingerprint: s.fingerprint });
    for (const l of s.labels) {
      let values = postings.get(l.name);
      if (!values) postings.set(l.name, (values = new Map()));
      const list = values.get(l.value);
      if (list) list.push(ref);
      else values.set(l.value, [ref]);
    }
    if (from === 0n || s.minTime < from) from = s.minTime;
    if (through === 0n || s.maxTime > through) through = s.maxTime;
  });

  const names = [...postings.keys()].sort(compareUtf8);
  toc.labelIndices = out.length;
  const labelIndexOffsets = names.map((name) => {
    out.align(4);
    const at = out.length;
    const values = [...postings.get(name)!.keys()].sort(compareUtf8);
    section(out, () => {
      out.u32be(1);
      out.u32be(values.length);
      for (const v of values) out.u32be(symbolId.get(v)!);
    });
    return at;
  });

  toc.postings = out.length;
  const table: { name: string; value: string; at: number }[] = [];
  const writePostings = (name: string, value: string, refs: readonly number[]): void => {
    out.align(4);
    table.push({ name, value, at: out.length });
    section(out, () => {
      out.u32be(refs.length);
      for (const r of refs) out.u32be(r);
    });
  };
  writePostings("", "", all);
  for (const name of names) {
    const values = postings.get(name)!;
    for (const value of [...values.keys()].sort(compareUtf8)) writePostings(name, value, values.get(value)!);
  }

  toc.labelIndicesTable = out.length;
  section(out, () => {
    out.u32be(names.length);
    names.forEach((name, i) => {
      out.uvarint(1);
      out.str(name);
      out.uvarint(labelIndexOffsets[i]!);
    });
  });
  toc.postingsTable = out.length;
  section(out, () => {
    out.u32be(table.length);
    for (const e of table) {
      out.uvarint(2);
      out.str(e.name);
      out.str(e.value);
      out.uvarint(e.at);
    }
  });
  toc.fingerprints = out.length;
  section(out, () => {
    out.u32be(fingerprints.length);
    for (const f of fingerprints) {
      out.u64be(BigInt(f.ref));
      out.u64be(f.fingerprint);
    }
  });

  const at = out.length;
  for (const o of [
    toc.symbols,
    toc.series,
    toc.labelIndices,
    toc.labelIndicesTable,
    toc.postings,
    toc.postingsTable,
    toc.fingerprints,
  ])
    out.u64be(BigInt(o));
  out.u64be(from);
  out.u64be(through);
  out.u32be(crc32c(out.buffer, at, out.length));
  return out.finish();
}
