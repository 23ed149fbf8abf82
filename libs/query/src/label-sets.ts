import type { LabelSets } from "@cinderblock/block";
import { U32Column } from "@cinderblock/columnar";
import type { Label } from "@cinderblock/model";
import { WordTuples } from "@cinderblock/symdb";

/** Restrictions on the sets and labels that a merge takes; absent: all. */
export interface LabelSetChoice {
  /** positions of the sets, in the order of the merge */
  picked?: readonly number[] | undefined;
  accepts?: ((set: number) => boolean) | undefined;
  /** names of the labels */
  name?: ((name: string) => boolean) | undefined;
}

/** Merges label sets without an object per label: each distinct set once, in the order of appearance. */
export class LabelSetMerger {
  private readonly names: string[] = [];
  /** name -> its ID and its pairs by value */
  private readonly known = new Map<string, { id: number; pairs: Map<string, number> }>();
  private readonly nameOf = new U32Column();
  private readonly values: string[] = [];
  private readonly tuples = new WordTuples();

  /** Adds label sets, reduced to the chosen labels; a set without any is left out. */
  add(sets: LabelSets, { picked, accepts, name }: LabelSetChoice = {}): void {
    const { pairs, ends } = sets;
    const wanted = Uint8Array.from(sets.names, (n) => (name === undefined || name(n) ? 1 : 0));
    // Pair of `sets` -> its ID in this merge + 1; 0: not added yet.
    const own = new Uint32Array(sets.values.length);
    let tuple = new Uint32Array(32);
    const count = picked ? picked.length : ends.length;
    for (let k = 0; k < count; k++) {
      const i = picked ? picked[k]! : k;
      if (accepts && !accepts(i)) continue;
      const end = ends[i]!;
      let start = i === 0 ? 0 : ends[i - 1]!,
        size = 0;
      if (end - start > tuple.length) tuple = new Uint32Array(2 * (end - start));
      for (; start < end; start++) {
        const pair = pairs[start]!,
          id = sets.nameOf[pair]!;
        if (wanted[id] === 0) continue;
        let to = own[pair]!;
        if (to === 0) own[pair] = to = this.pairOf(sets.names[id]!, sets.values[pair]!) + 1;
        tuple[size++] = to - 1;
      }
      if (size > 0) this.tuples.intern(tuple, size);
    }
  }

  /** Adds one set of labels. */
  addLabels(labels: readonly Label[]): void {
    const tuple = Uint32Array.from(labels, (l) => this.pairOf(l.name, l.value));
    if (tuple.length > 0) this.tuples.intern(tuple, tuple.length);
  }

  private pairOf(name: string, value: string): number {
    let entry = this.known.get(name);
    if (!entry) this.known.set(name, (entry = { id: this.names.push(name) - 1, pairs: new Map() }));
    let pair = entry.pairs.get(value);
    if (pair === undefined) {
      pair = this.nameOf.push(entry.id);
      entry.pairs.set(value, pair);
      this.values.push(value);
    }
    return pair;
  }

  finish(): LabelSets {
    const { words, offset } = this.tuples;
    return {
      names: this.names,
      nameOf: this.nameOf.view().slice(),
      values: this.values,
      pairs: words.view().slice(),
      ends: offset.view().slice(1),
    };
  }
}

/** Label sets as objects. */
export function labelsOfSets(sets: LabelSets): Label[][] {
  const { names, nameOf, values, pairs, ends } = sets;
  let at = 0;
  return Array.from(ends, (end) => {
    const out: Label[] = [];
    for (; at < end; at++) {
      const pair = pairs[at]!;
      out.push({ name: names[nameOf[pair]!]!, value: values[pair]! });
    }
    return out;
  });
}

/** Values of a name, and how many of the sets have each; of a repeated name, the first value counts. */
export function countValues(
  { names, nameOf, values, pairs, ends }: LabelSets,
  name: string,
): Map<string, number> {
  const id = names.indexOf(name),
    counts = new Map<string, number>();
  let at = 0;
  for (const end of ends) {
    while (at < end && nameOf[pairs[at]!] !== id) at++;
    if (at < end) {
      const value = values[pairs[at]!]!;
      counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    at = end;
  }
  return counts;
}

const varintBytes = (n: number): number =>
  n < 1 << 7 ? 1 : n < 1 << 14 ? 2 : n < 1 << 21 ? 3 : n < 1 << 28 ? 4 : 5;

function writeVarint(out: Uint8Array, at: number, value: number): number {
  while (value > 127) {
    out[at++] = (value & 127) | 128;
    value >>>= 7;
  }
  out[at++] = value;
  return at;
}

/** Writes a text as a length-delimited field; an empty text is the default and takes no bytes. */
function writeText(out: Buffer, at: number, tag: number, text: string, bytes: number): number {
  if (bytes === 0) return at;
  out[at++] = tag;
  at = writeVarint(out, at, bytes);
  return at + out.write(text, at);
}

/**
 * Encodes label sets as a `querier.v1.SeriesResponse`: the bytes of each pair once, then copied into each set
 * (docs/adr/0004-encode-large-answers-by-hand.md).
 */
export function encodeSeriesResponse({ names, nameOf, values, pairs, ends }: LabelSets): Uint8Array {
  const nameBytes = names.map((n) => Buffer.byteLength(n)),
    textBytes = (n: number): number => (n === 0 ? 0 : 1 + varintBytes(n) + n),
    valueBytes = new Uint32Array(values.length),
    pairEnd = new Uint32Array(values.length);
  let bytes = 0;
  for (let p = 0; p < values.length; p++) {
    valueBytes[p] = Buffer.byteLength(values[p]!);
    const size = textBytes(nameBytes[nameOf[p]!]!) + textBytes(valueBytes[p]!);
    pairEnd[p] = bytes += 1 + varintBytes(size) + size;
  }
  const encoded = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (let p = 0; p < values.length; p++) {
    const name = nameOf[p]!;
    encoded[at++] = 0x0a;
    at = writeVarint(encoded, at, textBytes(nameBytes[name]!) + textBytes(valueBytes[p]!));
    at = writeText(encoded, at, 0x0a, names[name]!, nameBytes[name]!);
    at = writeText(encoded, at, 0x12, values[p]!, valueBytes[p]!);
  }
  const sizes = new Uint32Array(ends.length);
  let total = 0;
  for (let i = 0, k = 0; i < ends.length; i++) {
    let size = 0;
    for (; k < ends[i]!; k++) {
      const p = pairs[k]!;
      size += pairEnd[p]! - (p === 0 ? 0 : pairEnd[p - 1]!);
    }
    sizes[i] = size;
    total += 1 + varintBytes(size) + size;
  }
  const out = new Uint8Array(total);
  at = 0;
  for (let i = 0, k = 0; i < ends.length; i++) {
    out[at++] = 0x12;
    at = writeVarint(out, at, sizes[i]!);
    for (; k < ends[i]!; k++) {
      const p = pairs[k]!;
      for (let b = p === 0 ? 0 : pairEnd[p - 1]!; b < pairEnd[p]!; b++) out[at++] = encoded[b]!;
    }
  }
  return out;
}
