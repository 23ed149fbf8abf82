import { type Label, type Labels, labelsKey, sortLabels } from "@cinderblock/model";
import type { NormalizedProfile } from "./normalise.ts";
import { stringAt } from "./strings.ts";

/** Samples that become one profile of one series. */
export interface SampleGroup { labels: Label[]; samples: Uint32Array }

/** Span and trace ids of samples; absent where the profile has none. */
export interface SampleIds {
  /** sample -> span id as two little-endian words */
  spans: Uint32Array | undefined;
  /** sample -> trace id as 16 bytes */
  traces: Uint8Array | undefined;
}

/**
 * Groups the kept samples by their string labels, `trace_id` and `span_id` (older: `profile_id`) apart. A label of the
 * series wins over one of its samples. Without sample labels there is one group.
 */
export function splitByLabels(p: NormalizedProfile, series: Labels): { groups: SampleGroup[]; ids: SampleIds } {
  const t = p.tables;
  const samples = t.samples;
  const ids: SampleIds = { spans: undefined, traces: undefined };
  if (t.labelKey.length === 0) return { groups: [{ labels: [...series], samples: keptSamples(p) }], ids };

  const names = new Set(series.map((l) => l.name));
  const byKey = new Map<string, { labels: Label[]; samples: number[] }>();
  const first = t.sampleLabels.data, keys = t.labelKey.data, strs = t.labelStr.data;
  // The same string indices come again and again: texts once per (key, value) pair.
  for (let i = 0; i < samples; i++) {
    if (p.keep[i] === 0) continue;
    let key = "";
    for (let k = first[i]!; k < first[i + 1]!; k++) {
      if (strs[k] === 0) continue; // numeric labels are dropped
      const name = stringAt(t, keys[k]!);
      if (name === "span_id" || name === "profile_id") {
        ids.spans ??= new Uint32Array(samples * 2);
        setHex(new Uint8Array(ids.spans.buffer, i * 8, 8), stringAt(t, strs[k]!));
      } else if (name === "trace_id") {
        ids.traces ??= new Uint8Array(samples * 16);
        setHex(ids.traces.subarray(i * 16, i * 16 + 16), stringAt(t, strs[k]!));
      } else {
        key += `${keys[k]},${strs[k]};`;
      }
    }
    const known = byKey.get(key);
    if (known) { known.samples.push(i); continue; }
    const own: Label[] = [];
    for (let k = first[i]!; k < first[i + 1]!; k++) {
      if (strs[k] === 0) continue;
      const name = stringAt(t, keys[k]!);
      if (name === "span_id" || name === "profile_id" || name === "trace_id" || names.has(name) || own.some((l) => l.name === name)) continue;
      own.push({ name, value: stringAt(t, strs[k]!) });
    }
    byKey.set(key, { labels: sortLabels([...series, ...own]), samples: [i] });
  }
  return { groups: mergeGroups([...byKey.values()].map((g) => ({ labels: g.labels, samples: Uint32Array.from(g.samples) }))), ids };
}

/** Groups whose labels turned out equal become one. */
export function mergeGroups(groups: SampleGroup[]): SampleGroup[] {
  if (groups.length < 2) return groups;
  const byLabels = new Map<string, SampleGroup>();
  for (const g of groups) {
    const key = labelsKey(g.labels);
    const known = byLabels.get(key);
    if (!known) { byLabels.set(key, g); continue; }
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

/** Decodes hex of exactly the target's size; anything else leaves zeros, as v1. */
function setHex(target: Uint8Array, text: string): void {
  if (text.length === target.length * 2 && /^[0-9a-fA-F]+$/.test(text)) target.set(Buffer.from(text, "hex"));
}
