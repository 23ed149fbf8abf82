import { addInt64, wordsOf } from "@cinderblock/columnar";
import {
  FUNCTION_WORDS,
  locationCount,
  LOCATION_HEAD,
  MAPPING_WORDS,
  stringCount,
  type SymbolTables,
} from "@cinderblock/symdb";
import type { PartialProfile } from "./profile.ts";

const NONE = 0xffffffff;

/** Reached rows of a table, numbered in order of first use. */
class Picked {
  readonly map: Uint32Array;
  readonly order: Uint32Array;
  length = 0;
  constructor(rows: number) {
    this.map = new Uint32Array(rows).fill(NONE);
    this.order = new Uint32Array(rows);
  }
  /** Position of row `i` among the picked rows: a new row is picked, as the last one. -1 behind the table. */
  of(i: number): number {
    if (i >= this.map.length) return -1;
    const known = this.map[i]!;
    if (known !== NONE) return known;
    this.order[this.length] = i;
    return (this.map[i] = this.length++);
  }
}

/** Copies short ranges: cheaper than creating a view for each. */
function copyBytes(from: Uint8Array, at: number, to: Uint8Array, start: number, end: number): void {
  for (let a = at, b = start; b < end; b++) to[b] = from[a++]!;
}

/**
 * Stacks of one symbol partition that have a value, with the symbols that they reach. Nothing is hashed or
 * compared, because the contents of a partition are distinct. Returns undefined if the tables refer to a
 * missing row.
 * @param byStack value of each stack node
 */
export function selectPartitionStacks(
  t: SymbolTables,
  byStack: BigInt64Array,
  keep: ((node: number) => boolean) | undefined,
): PartialProfile | undefined {
  const { stackParent, stackLocation, locationOffset } = t;
  const n = Math.min(byStack.length, stackParent.length);
  const words = wordsOf(byStack);
  const reached = new Uint8Array(stackParent.length);
  for (let s = 1; s < n; s++)
    if ((words[2 * s]! | words[2 * s + 1]!) !== 0 && (!keep || keep(s))) reached[s] = 2;
  // Parents precede their children.
  let nodes = 1;
  for (let s = n - 1; s > 0; s--) {
    if (reached[s] === 0) continue;
    const p = stackParent[s]!;
    if (p >= s) return undefined;
    if (p < 0) continue; // the stack starts at a root other than node 0
    nodes++;
    if (p > 0) reached[p] ||= 1;
  }
  const out = {
    stackParent: new Int32Array(nodes),
    stackLocation: new Uint32Array(nodes),
    value: new BigInt64Array(nodes),
  };
  out.stackParent[0] = -1;
  const nodeMap = new Uint32Array(n),
    values = wordsOf(out.value);
  const locations = new Picked(locationCount(t)),
    functions = new Picked(t.functionWords.length / FUNCTION_WORDS),
    mappings = new Picked(t.mappingWords.length / MAPPING_WORDS),
    strings = new Picked(stringCount(t));
  if (strings.map.length === 0 || t.stringOffset[1] !== t.stringOffset[0]) return undefined;
  strings.of(0); // the first string of every table is the empty string
  let at = 1;
  for (let s = 1; s < n; s++) {
    if (reached[s] === 0) continue;
    if (stackParent[s]! >= 0) {
      const location = locations.of(stackLocation[s]!);
      if (location < 0) return undefined;
      nodeMap[s] = at;
      out.stackParent[at] = nodeMap[stackParent[s]!]!;
      out.stackLocation[at++] = location;
    }
    if (reached[s] === 2) addInt64(values, nodeMap[s]!, words, s);
  }

  let locationWords = 0;
  for (let i = 0; i < locations.length; i++) {
    const l = locations.order[i]!;
    locationWords += Math.max(LOCATION_HEAD, locationOffset[l + 1]! - locationOffset[l]!);
  }
  const outWords = new Uint32Array(locationWords),
    outOffset = new Uint32Array(locations.length + 1);
  for (let i = 0, w = 0; i < locations.length; i++) {
    const l = locations.order[i]!,
      from = locationOffset[l]!,
      end = locationOffset[l + 1]!;
    if (end - from < LOCATION_HEAD) return undefined;
    const mapping = mappings.of(t.locationWords[from]!);
    if (mapping < 0) return undefined;
    outWords[w] = mapping;
    for (let k = 1; k < LOCATION_HEAD; k++) outWords[w + k] = t.locationWords[from + k]!;
    w += LOCATION_HEAD;
    for (let k = from + LOCATION_HEAD; k + 1 < end; k += 2) {
      const f = functions.of(t.locationWords[k]!);
      if (f < 0) return undefined;
      outWords[w++] = f;
      outWords[w++] = t.locationWords[k + 1]!;
    }
    outOffset[i + 1] = w;
  }

  const functionWords = new Uint32Array(functions.length * FUNCTION_WORDS),
    mappingWords = new Uint32Array(mappings.length * MAPPING_WORDS);
  const copy = (
    from: Uint32Array,
    to: Uint32Array,
    picked: Picked,
    size: number,
    first: number,
    end: number,
  ): boolean => {
    for (let i = 0; i < picked.length; i++) {
      const a = picked.order[i]! * size,
        b = i * size;
      for (let k = 0; k < size; k++) {
        const v = k >= first && k < end ? strings.of(from[a + k]!) : from[a + k]!;
        if (v < 0) return false;
        to[b + k] = v;
      }
    }
    return true;
  };
  if (
    !copy(t.functionWords, functionWords, functions, FUNCTION_WORDS, 0, 3) ||
    !copy(t.mappingWords, mappingWords, mappings, MAPPING_WORDS, 6, 8)
  )
    return undefined;

  const stringOffset = new Uint32Array(strings.length + 1);
  for (let i = 0; i < strings.length; i++) {
    const s = strings.order[i]!;
    stringOffset[i + 1] = stringOffset[i]! + t.stringOffset[s + 1]! - t.stringOffset[s]!;
  }
  const stringBytes = new Uint8Array(stringOffset[strings.length]!);
  for (let i = 0; i < strings.length; i++)
    copyBytes(
      t.stringBytes,
      t.stringOffset[strings.order[i]!]!,
      stringBytes,
      stringOffset[i]!,
      stringOffset[i + 1]!,
    );
  return {
    stringBytes,
    stringOffset,
    functionWords,
    mappingWords,
    locationWords: outWords.subarray(0, outOffset[locations.length]!).slice(),
    locationOffset: outOffset,
    ...out,
  };
}
