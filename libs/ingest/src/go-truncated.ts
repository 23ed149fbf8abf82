import { mix32 } from "@cinderblock/bytes";
import { stringAt } from "./strings.ts";
import type { NormalizedProfile } from "./normalise.ts";

/** Frames that two stacks must share, and the minimum height of a stack to repair (docs/formats/pprof.md). */
const SHARED = 16;
const MIN_HEIGHT = 24;
const MAX_GROUPS = 56;

/**
 * Repairs stacks that Go's runtime cut at the root, at 32 frames in heap profiles and 64 in CPU profiles.
 * Where a taller stack contains the 16 frames at the cut end of a stack, the taller stack's frames above them
 * are the missing ones.
 * @returns the number of repaired stacks
 */
export function repairTruncatedStacks(p: NormalizedProfile): number {
  const t = p.tables;
  let heap = false,
    cpu = false;
  for (let i = 0; i < t.sampleTypes; i++) {
    const type = stringAt(t, t.typeType.data[i]!);
    if (type.startsWith("alloc_") || type.startsWith("inuse_")) heap = true;
    if (type === "cpu") cpu = true;
  }
  if (!heap && !cpu) return 0;
  let deepest = 0;
  for (let i = 0; i < t.samples; i++) deepest = Math.max(deepest, p.sampleTo[i]! - p.sampleFrom[i]!);
  if (heap ? deepest < 28 || deepest >= 33 : deepest < 60 || deepest > 64) return 0;

  // Windows of 16 frames of every tall stack: hash -> the stack with the most frames above the window.
  const refs = p.refLocation;
  const windows = new Map<number, { sample: number; at: number; above: number }>();
  const tall: number[] = [];
  for (let i = 0; i < t.samples; i++)
    if (p.keep[i] === 1 && p.sampleTo[i]! - p.sampleFrom[i]! > MIN_HEIGHT) tall.push(i);
  const hashAt = (at: number): number => {
    let h = 0;
    for (let k = 0; k < SHARED; k++) h = mix32(h, refs[at + k]!);
    return h;
  };
  for (const i of tall) {
    for (let at = p.sampleFrom[i]!; at + SHARED <= p.sampleTo[i]!; at++) {
      const above = p.sampleTo[i]! - at - SHARED;
      const key = hashAt(at);
      const known = windows.get(key);
      if (!known || known.above < above) windows.set(key, { sample: i, at, above });
    }
  }
  const repaired = new Map<number, Uint32Array>();
  for (const i of tall) {
    if (p.sampleTo[i]! - p.sampleFrom[i]! < deepest) continue; // shorter stacks were not cut
    const parts = [refs.subarray(p.sampleFrom[i]!, p.sampleTo[i]!)];
    let from = p.sampleTo[i]! - SHARED;
    let groups = 0;
    for (; groups < MAX_GROUPS; groups++) {
      const w = windows.get(hashAt(from));
      if (!w || w.above === 0 || w.at === from) break;
      let same = true;
      for (let k = 0; k < SHARED; k++)
        if (refs[w.at + k] !== refs[from + k]) {
          same = false;
          break;
        }
      if (!same) break;
      parts.push(refs.subarray(w.at + SHARED, p.sampleTo[w.sample]!));
      if (p.sampleTo[w.sample]! - p.sampleFrom[w.sample]! < deepest) break;
      from = p.sampleTo[w.sample]! - SHARED;
    }
    if (parts.length === 1 || groups >= MAX_GROUPS) continue;
    const joined = new Uint32Array(parts.reduce((s, x) => s + x.length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    repaired.set(i, joined);
  }
  if (repaired.size === 0) return 0;
  let extra = 0;
  for (const r of repaired.values()) extra += r.length;
  const grown = new Uint32Array(refs.length + extra);
  grown.set(refs);
  let at = refs.length;
  for (const [i, r] of repaired) {
    grown.set(r, at);
    p.sampleFrom[i] = at;
    p.sampleTo[i] = at += r.length;
  }
  p.refLocation = grown;
  p.kernel = undefined; // the references have moved
  return repaired.size;
}
