/** Bytes [start, end) of a file. */
export interface ByteRange {
  start: number;
  end: number;
}

/** Ranges closer than this are read as one: a request costs more than the bytes between. */
const GAP_BYTES = 256 << 10;
/** The most ranges that one question reads of a file; gaps are read along until there are no more. */
export const MAX_RANGES = 8;

/** Ranges that cover the wanted ones, ascending: near ones joined, and the nearest of the rest until there are `MAX_RANGES`. */
export function coalesce(wanted: readonly ByteRange[]): ByteRange[] {
  const sorted = wanted.filter((r) => r.end > r.start).sort((a, b) => a.start - b.start);
  const out: ByteRange[] = [];
  for (const r of sorted) {
    const last = out.at(-1);
    if (last && r.start - last.end <= GAP_BYTES) last.end = Math.max(last.end, r.end);
    else out.push({ ...r });
  }
  if (out.length <= MAX_RANGES) return out;
  // The widest gaps stay; all others are read along.
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
