import { fnv1a, mix32 } from "@cinderblock/bytes";

/**
 * Assigns the partitions of a log to owners. Each partition has one owner, and no owner has more than its
 * share, rounded up. An owner that joins or leaves moves few partitions besides its own. Every partition
 * ranks the owners by hash and gets the best one with room.
 * @param owners names in a fixed order
 * @returns partition -> index in `owners`
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
