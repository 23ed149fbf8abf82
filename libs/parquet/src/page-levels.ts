import { ByteWriter } from "@cinderblock/bytes";
import type { ColumnSource } from "./column-source.ts";
import { encodeHybrid } from "./levels.ts";

/** Encoded levels of one page, as hybrid runs without a size prefix; empty if the column has none. */
export interface Levels {
  /** number of entries of the page */
  count: number;
  /** number of entries that have a value */
  defined: number;
  rep: Uint8Array;
  def: Uint8Array;
}

const NO_LEVELS = new Uint8Array(0);

// Appends levels up to `max` with as few bits as it needs.
function encodeLevels(levels: Uint8Array, max: number): Uint8Array {
  const out = new ByteWriter(64);
  encodeHybrid(levels, levels.length, 32 - Math.clz32(max), out);
  return out.finish();
}

/**
 * Levels of rows [from, to) of a column. A flat optional column has one entry per row; see listLevels for
 * lists.
 * @param alike cache for the row group
 */
export function pageLevels(s: ColumnSource, from: number, to: number, alike: Alike): Levels {
  if (s.maxDef === 0) return { count: to - from, defined: to - from, rep: NO_LEVELS, def: NO_LEVELS };
  if (s.offset) return listLevels(s, s.offset, from, to, alike);
  const count = to - from,
    def = new Uint8Array(count);
  let defined = 0;
  if (s.present)
    for (let i = from; i < to; i++) {
      const there = s.present[i]! ? 1 : 0;
      def[i - from] = s.maxDef - 1 + there;
      defined += there;
    }
  else {
    def.fill(s.allNullAt ?? s.maxDef);
    defined = s.allNullAt === undefined ? count : 0;
  }
  return { count, defined, rep: NO_LEVELS, def: encodeLevels(def, s.maxDef) };
}

/**
 * Cache of encoded levels: columns of one list share their repetition, and most are absent in the same
 * places. Offsets of a list -> rows and form -> encoded levels. Valid for one row group, because offsets are
 * compared by identity.
 */
export type Alike = Map<Uint32Array, Map<string, Uint8Array>>;

/**
 * Levels of a list.
 *
 *   rows   [a, b]   []   [c]
 *   rep    0  1     0    0
 *   def    D  D     0    D        D = maxDef with a value, maxDef - 1 for a null, allNullAt for an empty column
 */
function listLevels(s: ColumnSource, offset: Uint32Array, from: number, to: number, alike: Alike): Levels {
  const { maxDef, maxRep, allNullAt } = s,
    entries = offset[to]! - offset[from]!;
  const present = allNullAt === undefined ? s.present : undefined;
  let count = entries;
  // an empty list is an entry with repetition and definition 0
  for (let i = from; i < to; i++) if (offset[i] === offset[i + 1]) count++;
  let forms = alike.get(offset);
  if (!forms) alike.set(offset, (forms = new Map()));
  const once = (form: string, max: number, levels: () => Uint8Array): Uint8Array => {
    const key = `${from} ${to} ${form} ${32 - Math.clz32(max)}`;
    let bytes = forms.get(key);
    if (!bytes) forms.set(key, (bytes = encodeLevels(levels(), max)));
    return bytes;
  };
  const rep = once("rep", maxRep, () => {
    const out = new Uint8Array(count).fill(1);
    for (let i = from, at = 0; i < to; i++) {
      out[at] = 0;
      at += Math.max(1, offset[i + 1]! - offset[i]!);
    }
    return out;
  });
  const level = allNullAt ?? maxDef;
  const def = (): Uint8Array => {
    const out = new Uint8Array(count).fill(level);
    if (count > entries)
      for (let i = from, at = 0; i < to; i++) {
        const n = offset[i + 1]! - offset[i]!;
        if (n === 0) out[at] = 0;
        at += Math.max(1, n);
      }
    return out;
  };
  if (!present)
    return { count, defined: level === maxDef ? entries : 0, rep, def: once(`def ${level}`, maxDef, def) };
  const own = def();
  let defined = 0;
  for (let i = from, at = 0; i < to; i++) {
    const a = offset[i]!,
      b = offset[i + 1]!;
    for (let k = a; k < b; k++) {
      const there = present[k]! ? 1 : 0;
      own[at + k - a] = maxDef - 1 + there;
      defined += there;
    }
    at += Math.max(1, b - a);
  }
  return { count, defined, rep, def: encodeLevels(own, maxDef) };
}
