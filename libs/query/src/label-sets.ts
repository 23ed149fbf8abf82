import type { LabelSets } from "@cinderblock/block";
import type { Label } from "@cinderblock/model";
import { U32Column } from "@cinderblock/columnar";
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
    // 0: not needed yet; otherwise the pair's ID here + 1.
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
