import { mix32 } from "@cinderblock/bytes";
import { type Label, type Labels, labelsKey, sortLabels } from "@cinderblock/model";
import type { PprofTables } from "@cinderblock/pprof";
import type { NormalizedProfile } from "./normalize.ts";
import { stringAt } from "./strings.ts";

/** Samples of one profile that go to one series. */
export interface SampleGroup {
  labels: Label[];
  samples: Uint32Array;
}

/** Span and trace ids of samples; absent where the profile has none. */
export interface SampleIds {
  /** sample -> span id as two little-endian words */
  spans: Uint32Array | undefined;
  /** sample -> trace id as 16 bytes */
  traces: Uint8Array | undefined;
}

/**
 * Groups the kept samples by their string labels, except `trace_id` and `span_id` (older: `profile_id`). A
 * label of the series wins over a label of its sample, and labels without a name are left out. Without sample labels there is one group.
 */
export function splitByLabels(
  p: NormalizedProfile,
  series: Labels,
): { groups: SampleGroup[]; ids: SampleIds } {
  const t = p.tables;
  const samples = t.samples;
  const ids: SampleIds = { spans: undefined, traces: undefined };
  if (t.labelKey.length === 0) return { groups: [{ labels: [...series], samples: keptSamples(p) }], ids };

  const names = new Set(series.map((l) => l.name)),
    groups: { labels: Label[]; samples: number[] }[] = [];
  const first = t.sampleLabels.data,
    keys = t.labelKey.data,
    strs = t.labelStr.data,
    kinds = new Map<number, number>();
  /** hash of a sample's own labels -> groups with that hash */
  const byHash = new Map<number, { labels: Label[]; samples: number[] }[]>();
  let spans: Uint8Array | undefined;
  for (let i = 0; i < samples; i++) {
    if (p.keep[i] === 0) continue;
    let hash = 0;
    for (let k = first[i]!; k < first[i + 1]!; k++) {
      const str = strs[k]!;
      if (str === 0) continue; // numeric labels are ignored
      const kind = kindOf(t, keys[k]!, kinds);
      if (kind === SPAN) {
        if (!spans) spans = new Uint8Array((ids.spans = new Uint32Array(samples * 2)).buffer);
        putHex(t, str, spans, i * 8, 8);
      } else if (kind === TRACE) putHex(t, str, (ids.traces ??= new Uint8Array(samples * 16)), i * 16, 16);
      else if (kind === LABEL) hash = mix32(mix32(hash, keys[k]!), str);
    }
    let same = byHash.get(hash);
    if (!same) byHash.set(hash, (same = []));
    let group = same.find((g) => sameLabels(t, kinds, g.samples[0]!, i));
    if (!group) {
      group = { labels: sortLabels([...series, ...ownLabels(t, kinds, i, names)]), samples: [] };
      same.push(group);
      groups.push(group);
    }
    group.samples.push(i);
  }
  return {
    groups: mergeGroups(groups.map((g) => ({ labels: g.labels, samples: Uint32Array.from(g.samples) }))),
    ids,
  };
}

const UNNAMED = 0,
  LABEL = 1,
  SPAN = 2,
  TRACE = 3;

function kindOfName(name: string): number {
  if (name === "") return UNNAMED;
  if (name === "span_id" || name === "profile_id") return SPAN;
  return name === "trace_id" ? TRACE : LABEL;
}

/** Meaning of a sample label's key; computed once per key and profile. */
function kindOf(t: PprofTables, key: number, kinds: Map<number, number>): number {
  let kind = kinds.get(key);
  if (kind === undefined) {
    kinds.set(key, (kind = kindOfName(stringAt(t, key))));
  }
  return kind;
}

/** Whether two samples have the same own labels, in the same order. */
function sameLabels(t: PprofTables, kinds: Map<number, number>, a: number, b: number): boolean {
  const first = t.sampleLabels.data,
    keys = t.labelKey.data,
    strs = t.labelStr.data,
    aEnd = first[a + 1]!,
    bEnd = first[b + 1]!;
  const next = (k: number, end: number): number => {
    while (k < end && (strs[k] === 0 || kindOf(t, keys[k]!, kinds) !== LABEL)) k++;
    return k;
  };
  let x = next(first[a]!, aEnd),
    y = next(first[b]!, bEnd);
  while (x < aEnd && y < bEnd && keys[x] === keys[y] && strs[x] === strs[y]) {
    x = next(x + 1, aEnd);
    y = next(y + 1, bEnd);
  }
  return x >= aEnd && y >= bEnd;
}

/** A sample's labels: the first of each name counts; names that the series has are left out. */
function ownLabels(
  t: PprofTables,
  kinds: Map<number, number>,
  i: number,
  names: ReadonlySet<string>,
): Label[] {
  const own: Label[] = [],
    keys = t.labelKey.data,
    strs = t.labelStr.data;
  for (let k = t.sampleLabels.data[i]!; k < t.sampleLabels.data[i + 1]!; k++) {
    if (strs[k] === 0 || kindOf(t, keys[k]!, kinds) !== LABEL) continue;
    const name = stringAt(t, keys[k]!);
    if (!names.has(name) && !own.some((l) => l.name === name))
      own.push({ name, value: stringAt(t, strs[k]!) });
  }
  return own;
}

/** Merges groups with equal labels. */
export function mergeGroups(groups: SampleGroup[]): SampleGroup[] {
  if (groups.length < 2) return groups;
  const byLabels = new Map<string, SampleGroup>();
  for (const g of groups) {
    const key = labelsKey(g.labels);
    const known = byLabels.get(key);
    if (!known) {
      byLabels.set(key, g);
      continue;
    }
    const samples = new Uint32Array(known.samples.length + g.samples.length);
    samples.set(known.samples);
    samples.set(g.samples, known.samples.length);
    known.samples = samples.sort();
  }
  return [...byLabels.values()];
}

function keptSamples(p: NormalizedProfile): Uint32Array {
  const out = new Uint32Array(p.kept);
  for (let i = 0, at = 0; i < p.keep.length; i++) if (p.keep[i] === 1) out[at++] = i;
  return out;
}

/** byte -> value of a hexadecimal digit; 255 for other bytes */
const DIGITS = Uint8Array.from({ length: 256 }, (_, c) =>
  c >= 48 && c <= 57 ? c - 48 : c >= 97 && c <= 102 ? c - 87 : c >= 65 && c <= 70 ? c - 55 : 255,
);

/** Decodes a hex text of exactly `size` bytes; other texts leave the target unchanged, as in v1. */
function putHex(t: PprofTables, text: number, target: Uint8Array, at: number, size: number): void {
  if (text >= t.strings) return;
  const from = t.stringStart.data[text]!,
    { bytes } = t;
  if (t.stringEnd.data[text]! - from !== 2 * size) return;
  for (let k = 0; k < 2 * size; k++) if (DIGITS[bytes[from + k]!] === 255) return;
  for (let k = 0; k < size; k++)
    target[at + k] = (DIGITS[bytes[from + 2 * k]!]! << 4) | DIGITS[bytes[from + 2 * k + 1]!]!;
}
