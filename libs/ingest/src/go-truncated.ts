import { WordTuples } from "@cinderblock/symdb";
import { locationIdentities } from "./location-identities.ts";
import { type NormalizedProfile, UNKNOWN } from "./normalize.ts";
import { stringAt } from "./strings.ts";

/** Frames of a token: two stacks that share one are taken for parts of one stack (docs/formats/pprof.md). */
const TOKEN = 16;
/** Tokens of a stack below the root's end, each one frame further from it. */
const TOKENS = 8;
/** Frames at the root's end by which stacks are grouped; lower stacks are complete. */
const SUFFIX = TOKEN + TOKENS;
/** Maximum links from group to group; a profile with more is recursive and keeps its remaining stacks. */
const MAX_LINKS = 56;
const HEAP_TYPES = ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"];

/** Location IDs of the profile's references, as two words. */
interface Ids {
  lo: Uint32Array;
  hi: Uint32Array;
}

/**
 * Repairs stacks that Go's runtime cut at the root, at 32 frames in heap profiles and 64 in CPU profiles.
 * Where a stack contains the 16 frames at the root's end of a group of stacks with more frames above them,
 * those frames are appended to the group, over several groups if need be.
 * @param merged whether functions became equal: then equal locations count as one
 * @returns the number of repaired stacks
 */
export function repairTruncatedStacks(p: NormalizedProfile, merged: boolean): number {
  const t = p.tables,
    types = Array.from({ length: t.sampleTypes }, (_, i) => stringAt(t, t.typeType.data[i]!)),
    heap = types.some((type) => HEAP_TYPES.includes(type));
  if (!heap && !types.includes("cpu")) return 0;
  let deepest = 0;
  for (let i = 0; i < t.samples; i++) deepest = Math.max(deepest, p.sampleTo[i]! - p.sampleFrom[i]!);
  // Go 1.23 and later keep 128 frames: a heap profile with a taller stack is not cut.
  if (heap ? deepest < 28 || deepest > 32 : deepest < 60) return 0;

  const ids = merged ? locationIdentities(p) : { lo: t.locationIdLo.data, hi: t.locationIdHi.data };
  const { samples, twins } = tallSamples(p, ids, merged);
  if (samples.length === 0) return 0;
  const first = groupsOf(p, ids, samples),
    groups = first.length,
    end = (g: number): number => (g + 1 < groups ? first[g + 1]! : groups);
  const links = linkGroups(p, ids, samples, first, end);

  const appended = new Map<number, Uint32Array>();
  for (let g = 0; g < groups; g++) {
    let above = 0,
      reference = -1;
    for (let at = g, n = 0; links.group[at]! >= 0; at = reference) {
      above += links.above[at]!;
      reference = links.group[at]!;
      if (links.group[reference]! >= 0 && ++n === MAX_LINKS) return append(p, appended, twins);
    }
    if (reference < 0) continue;
    const root = samples[first[reference]!]!,
      to = p.sampleTo[root]!;
    if (above >= to - p.sampleFrom[root]!) continue;
    for (let k = first[g]!; k < end(g); k++)
      appended.set(samples[k]!, p.refLocation.subarray(to - above, to));
  }
  return append(p, appended, twins);
}

/**
 * Samples with at least SUFFIX frames, ordered by the bytes of their suffixes, little end first. Of samples
 * that became equal one is left; `twins` maps the others to it.
 */
function tallSamples(
  p: NormalizedProfile,
  ids: Ids,
  merged: boolean,
): { samples: number[]; twins: Map<number, number> } {
  const t = p.tables,
    stacks = new WordTuples(),
    samples: number[] = [],
    twins = new Map<number, number>();
  let key = new Uint32Array(256);
  for (let i = 0; i < t.samples; i++) {
    const from = p.sampleFrom[i]!,
      to = p.sampleTo[i]!;
    if (to - from < SUFFIX) continue;
    if (merged) {
      if (p.refLocation.subarray(from, to).includes(UNKNOWN)) continue;
      const a = t.sampleLabels.data[i]!,
        b = t.sampleLabels.data[i + 1]!,
        length = 1 + (to - from) + 2 * (b - a);
      if (length > key.length) key = new Uint32Array(2 * length);
      key[0] = to - from;
      key.set(ids.lo.subarray(from, to), 1);
      key.set(t.labelKey.data.subarray(a, b), 1 + to - from);
      key.set(t.labelStr.data.subarray(a, b), 1 + to - from + b - a);
      const stack = stacks.intern(key, length);
      if (stack < samples.length) {
        twins.set(i, samples[stack]!);
        continue;
      }
    }
    samples.push(i);
  }
  const place = (i: number): number => p.sampleTo[i]! - SUFFIX;
  samples.sort((a, b) => {
    const x = place(a),
      y = place(b);
    for (let k = 0; k < SUFFIX; k++) {
      const low = swapped(ids.lo[x + k]!) - swapped(ids.lo[y + k]!);
      if (low !== 0) return low;
      const high = swapped(ids.hi[x + k]!) - swapped(ids.hi[y + k]!);
      if (high !== 0) return high;
    }
    return a - b;
  });
  return { samples, twins };
}

/** The word with its bytes in the opposite order. */
function swapped(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}

/** Positions in `samples` at which another suffix begins. */
function groupsOf(p: NormalizedProfile, ids: Ids, samples: readonly number[]): number[] {
  const first: number[] = [];
  for (let k = 0; k < samples.length; k++) {
    const at = p.sampleTo[samples[k]!]! - SUFFIX,
      before = k > 0 ? p.sampleTo[samples[k - 1]!]! - SUFFIX : -1;
    let same = before >= 0;
    for (let n = 0; same && n < SUFFIX; n++)
      same = ids.lo[at + n] === ids.lo[before + n] && ids.hi[at + n] === ids.hi[before + n];
    if (!same) first.push(k);
  }
  return first;
}

/**
 * For each group, the group that contains its last token at the largest distance from the root, and that
 * distance; -1 for a group without frames above it.
 */
function linkGroups(
  p: NormalizedProfile,
  ids: Ids,
  samples: readonly number[],
  first: readonly number[],
  end: (group: number) => number,
): { group: Int32Array; above: Uint32Array } {
  const tokens = new WordTuples(),
    word = new Uint32Array(2 * TOKEN),
    /** token -> group of stacks, number of frames above it */
    tokenGroup: number[] = [],
    tokenAbove: number[] = [];
  const token = (sample: number, above: number): number => {
    const at = p.sampleTo[sample]! - above - TOKEN;
    for (let k = 0; k < TOKEN; k++) {
      word[2 * k] = ids.lo[at + k]!;
      word[2 * k + 1] = ids.hi[at + k]!;
    }
    return tokens.intern(word, 2 * TOKEN);
  };
  for (let g = 0; g < first.length; g++) {
    if (end(g) <= first[g]!) continue;
    for (let above = 1; above <= TOKENS; above++) {
      const id = token(samples[first[g]!]!, above);
      if (id < tokenGroup.length && tokenAbove[id]! >= above) continue;
      tokenGroup[id] = g;
      tokenAbove[id] = above;
    }
  }
  const group = new Int32Array(first.length).fill(-1),
    above = new Uint32Array(first.length),
    known = tokenGroup.length;
  for (let g = 0; g < first.length; g++) {
    const id = token(samples[first[g]!]!, 0);
    if (id >= known || tokenGroup[id] === g) continue;
    group[g] = tokenGroup[id]!;
    above[g] = tokenAbove[id]!;
  }
  return { group, above };
}

/** Appends locations to stacks; a stack that gets an unknown location is not stored. */
function append(
  p: NormalizedProfile,
  appended: Map<number, Uint32Array>,
  twins: ReadonlyMap<number, number>,
): number {
  if (appended.size === 0) return 0;
  for (const [twin, sample] of twins) {
    const above = appended.get(sample);
    if (above) appended.set(twin, above);
  }
  const refs = p.refLocation;
  let extra = 0;
  for (const [i, above] of appended) extra += p.sampleTo[i]! - p.sampleFrom[i]! + above.length;
  const grown = new Uint32Array(refs.length + extra);
  grown.set(refs);
  let at = refs.length;
  for (const [i, above] of appended) {
    const own = refs.subarray(p.sampleFrom[i]!, p.sampleTo[i]!);
    grown.set(own, at);
    grown.set(above, at + own.length);
    p.sampleFrom[i] = at;
    p.sampleTo[i] = at += own.length + above.length;
    if (p.keep[i] === 1 && above.includes(UNKNOWN)) {
      p.keep[i] = 0;
      p.kept--;
    }
  }
  p.refLocation = grown;
  p.kernel = undefined; // the sample's references to locations have moved
  return appended.size;
}
