import { CUT_OFF_NAME, type Flame } from "./layout.ts";

/**
 * Result of a search: boxes in reading order, and the share of the total that has a matching function in its
 * stack.
 */
export interface SearchResult {
  marked: Uint8Array;
  boxes: Uint32Array;
  share: number;
}

/** Pattern of a search: a case-insensitive text, or `/pattern/`. @throws for an invalid pattern */
export function searchPattern(text: string): RegExp | undefined {
  if (text === "") return undefined;
  const slashes = /^\/(.*)\/$/s.exec(text);
  return slashes
    ? new RegExp(slashes[1]!, "i")
    : new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
}

/** Marks the boxes whose function matches; cut-off boxes never match. */
export function searchFlame(f: Flame, pattern: RegExp | undefined): SearchResult {
  const n = f.name.length,
    marked = new Uint8Array(n);
  if (!pattern) return { marked, boxes: new Uint32Array(0), share: 0 };
  const hit = Uint8Array.from(f.names, (name, i) => (i > 0 && pattern.test(name) ? 1 : 0));
  // A box below a match adds nothing, because the match already counts its samples.
  const within = new Uint8Array(n),
    boxes: number[] = [];
  let sum = 0;
  for (let i = 1; i < n; i++) {
    within[i] = within[f.parent[i]!]!;
    if (f.name[i] === CUT_OFF_NAME || hit[f.name[i]!] === 0) continue;
    marked[i] = 1;
    boxes.push(i);
    if (within[i] === 0) {
      within[i] = 1;
      sum += f.width[i]!;
    }
  }
  return { marked, boxes: Uint32Array.from(boxes), share: f.width[0]! > 0 ? sum / f.width[0]! : 0 };
}
