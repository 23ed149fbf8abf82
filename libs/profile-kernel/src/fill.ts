import type { headerStrings, PprofSource } from "@cinderblock/pprof";
import { type COLUMNS, HeaderWord } from "./layout.ts";

/** Views of the columns in the kernel's memory. */
export type ColumnViews = Map<keyof typeof COLUMNS, Uint32Array | BigInt64Array | Uint8Array>;
export type HeaderStrings = ReturnType<typeof headerStrings>;

/** Rows of each of the kernel's eleven tables that a profile needs. */
export function rowsOf(s: PprofSource, { texts, base, types }: HeaderStrings): Uint32Array {
  const rows = new Uint32Array(11);
  rows[HeaderWord.strings] = Math.max(1, base) + texts.length;
  rows[HeaderWord.types] = types.length;
  rows[HeaderWord.samples] = s.sampleOffset.length - 1;
  rows[HeaderWord.refs] = s.sampleLocation.length;
  rows[HeaderWord.values] = s.value.length;
  rows[HeaderWord.labels] = s.labels?.key.length ?? 0;
  rows[HeaderWord.mappings] = s.mappingWords.length / 9;
  rows[HeaderWord.locations] = s.locationOffset.length - 1;
  rows[HeaderWord.lines] = (s.locationWords.length - 4 * (s.locationOffset.length - 1)) / 2;
  rows[HeaderWord.functions] = s.functionWords.length / 4;
  return rows;
}

/** Fills the columns except those of strings and types: IDs are positions + 1, as in an encoded pprof. */
export function fillColumns(views: ColumnViews, s: PprofSource): void {
  const u32 = (name: keyof typeof COLUMNS): Uint32Array => views.get(name) as Uint32Array,
    i64 = (name: keyof typeof COLUMNS): BigInt64Array => views.get(name) as BigInt64Array;
  fillSamples(u32, i64, s);
  fillMappings(u32, i64, s.mappingWords);
  fillFunctions(u32, s.functionWords);
  const locations = s.locationOffset.length - 1;
  fillIds(u32("locIdLo"), u32("locIdHi"), locations);
  u32("locMappingHi").fill(0, 0, locations);
  fillLocations(
    s,
    u32("locMappingLo"),
    wordsOf(i64("locAddress")),
    u32("locFolded"),
    u32("locLines"),
    u32("lineFunctionLo"),
    u32("lineNumber"),
  );
  u32("lineFunctionHi").fill(0, 0, u32("locLines")[locations]);
}

type Columns32 = (name: keyof typeof COLUMNS) => Uint32Array;
type Columns64 = (name: keyof typeof COLUMNS) => BigInt64Array;

function wordsOf(column: BigInt64Array): Uint32Array {
  return new Uint32Array(column.buffer, column.byteOffset, column.length * 2);
}

function fillSamples(u32: Columns32, i64: Columns64, s: PprofSource): void {
  const samples = s.sampleOffset.length - 1,
    refs = s.sampleLocation.length,
    values = u32("sampleValues"),
    types = samples === 0 ? 0 : s.value.length / samples;
  u32("sampleLocations").set(s.sampleOffset);
  addOne(s.sampleLocation, u32("locationIdLo"));
  u32("locationIdHi").fill(0, 0, refs);
  for (let i = 0; i <= samples; i++) values[i] = i * types;
  i64("value").set(s.value);
  if (!s.labels) {
    u32("sampleLabels").fill(0, 0, samples + 1);
    return;
  }
  u32("sampleLabels").set(s.labels.offset);
  u32("labelKey").set(s.labels.key);
  u32("labelStr").set(s.labels.value);
}

function addOne(from: Uint32Array, to: Uint32Array): void {
  for (let i = 0; i < from.length; i++) to[i] = from[i]! + 1;
}

function fillIds(lo: Uint32Array, hi: Uint32Array, n: number): void {
  for (let i = 0; i < n; i++) lo[i] = i + 1;
  hi.fill(0, 0, n);
}

function fillMappings(u32: Columns32, i64: Columns64, m: Uint32Array): void {
  const n = m.length / 9;
  fillIds(u32("mappingIdLo"), u32("mappingIdHi"), n);
  (["mappingStart", "mappingLimit", "mappingOffset"] as const).forEach((name, k) => {
    const words = wordsOf(i64(name));
    for (let i = 0; i < n; i++) {
      words[2 * i] = m[9 * i + 2 * k]!;
      words[2 * i + 1] = m[9 * i + 2 * k + 1]!;
    }
  });
  (["mappingFilename", "mappingBuildId", "mappingFlags"] as const).forEach((name, k) => {
    const column = u32(name);
    for (let i = 0; i < n; i++) column[i] = m[9 * i + 6 + k]!;
  });
}

function fillFunctions(u32: Columns32, f: Uint32Array): void {
  const n = f.length / 4,
    name = u32("funcName"),
    systemName = u32("funcSystemName"),
    filename = u32("funcFilename"),
    startLine = u32("funcStartLine");
  fillIds(u32("funcIdLo"), u32("funcIdHi"), n);
  for (let i = 0, at = 0; i < n; i++, at += 4) {
    name[i] = f[at]!;
    systemName[i] = f[at + 1]!;
    filename[i] = f[at + 2]!;
    startLine[i] = f[at + 3]!;
  }
}

function fillLocations(
  { locationWords: w, locationOffset }: PprofSource,
  mapping: Uint32Array,
  address: Uint32Array,
  folded: Uint32Array,
  firstLine: Uint32Array,
  fn: Uint32Array,
  line: Uint32Array,
): void {
  let lines = 0;
  firstLine[0] = 0;
  for (let i = 0; i + 1 < locationOffset.length; i++) {
    const at = locationOffset[i]!,
      end = locationOffset[i + 1]!;
    mapping[i] = w[at]! + 1;
    address[2 * i] = w[at + 1]!;
    address[2 * i + 1] = w[at + 2]!;
    folded[i] = w[at + 3]! === 0 ? 0 : 1;
    for (let k = at + 4; k + 1 < end; k += 2) {
      fn[lines] = w[k]! + 1;
      line[lines++] = w[k + 1]!;
    }
    firstLine[i + 1] = lines;
  }
}
