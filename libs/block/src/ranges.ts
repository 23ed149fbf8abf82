/** A range of a file's bytes: [start, end). */
export interface ByteRange {
  start: number;
  end: number;
}

/** Maximum gap between ranges that are read as one: a request costs more than the bytes between. */
const GAP_BYTES = 256 << 10;
/** Maximum number of ranges that one query reads of a file; beyond it, the smallest gaps are read as well. */
export const MAX_RANGES = 8;

/**
 * Ascending ranges that cover the wanted ones: near ones are joined, and then the nearest of the rest until
 * at most `MAX_RANGES` remain.
 */
export function coalesceRanges(wanted: readonly ByteRange[]): ByteRange[] {
  const sorted = wanted.filter((r) => r.end > r.start).sort((a, b) => a.start - b.start);
  const out: ByteRange[] = [];
  for (const r of sorted) {
    const last = out.at(-1);
    if (last && r.start - last.end <= GAP_BYTES) last.end = Math.max(last.end, r.end);
    else out.push({ ...r });
  }
  if (out.length <= MAX_RANGES) return out;
  // Keep the widest gaps; read all others as well.
  const gaps = out
    .slice(1)
    .map((r, i) => ({ i: i + 1, bytes: r.start - out[i]!.end }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, MAX_RANGES - 1);
  const cuts = new Set(gaps.map((g) => g.i));
  const joined: ByteRange[] = [];
  out.forEach((r, i) => {
    if (i === 0 || cuts.has(i)) joined.push({ ...r });
    else joined.at(-1)!.end = r.end;
  });
  return joined;
}
