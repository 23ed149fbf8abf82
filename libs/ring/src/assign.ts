import { fnv1a, mix32 } from "@cinderblock/bytes";

/**
 * Who owns which of a log's partitions: each has one owner, nobody has more than his share rounded up, and one that comes or
 * goes moves little but its own part. Every partition prefers owners by hash; it gets the best that still has room.
 * @returns partition -> position in `owners`, which are in order
 */
export function assignPartitions(partitions: number, owners: readonly string[]): Uint32Array {
  const out = new Uint32Array(partitions),
    room = Math.ceil(partitions / Math.max(1, owners.length)),
    held = new Uint32Array(owners.length);
  const seeds = owners.map((o) => fnv1a(Buffer.from(o)));
  for (let p = 0; p < partitions; p++) {
    let best = -1,
      score = -1;
    for (let i = 0; i < seeds.length; i++) {
      if (held[i]! >= room) continue;
      const s = mix32(seeds[i]!, p) >>> 0;
      if (s > score) {
        score = s;
        best = i;
      }
    }
    out[p] = best;
    held[best]!++;
  }
  return out;
}
