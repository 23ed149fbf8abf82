import { BitSet } from "./bits.ts";
import { type MergedRow, MergeWalk } from "./merge.ts";
import type { Rows, SourceBlock, StreamBounds } from "./source-block.ts";

/** Which stacks a shard's rows use: shard -> source -> symbol partition -> stacktrace ids. */
export type UsedStacks = Map<bigint, BitSet>[][];

/** The first pass: which rows are kept, which stacks they use, what each shard gets. */
export interface Kept {
  /** source -> rows that are kept */
  rows: BitSet[];
  used: UsedStacks;
  /** shard -> rows and samples */
  counts: { rows: number; samples: number }[];
  duplicates: number;
  /** rows that `drops` left out */
  dropped: number;
}

export type ShardOf = (rank: number, partition: bigint) => number;

/**
 * Rows with equal (series, time, id) are one profile (docs/correctness.md, "Profile identity"), also inside one block. Where replicas of it
 * differ, the smallest sum that is not zero stays: the larger baseline wins (rule 2).
 */
export async function decideRows(
  sources: readonly SourceBlock[],
  ranks: readonly Uint32Array[],
  shards: number,
  shardOf: ShardOf,
  bounds: StreamBounds,
  isDropped: (rank: number, rows: Rows, at: number) => boolean,
): Promise<Kept> {
  const kept: Kept = {
    rows: sources.map(() => new BitSet()),
    used: Array.from({ length: shards }, () => sources.map(() => new Map<bigint, BitSet>())),
    counts: Array.from({ length: shards }, () => ({ rows: 0, samples: 0 })),
    duplicates: 0,
    dropped: 0,
  };
  const walk = new MergeWalk(sources, ranks, false, bounds);
  /** the rows of one (series, time) */
  let group: MergedRow[] = [];
  const keep = (r: MergedRow): void => {
    const { rows, at } = r;
    kept.rows[r.source]!.add(r.row);
    const partition = rows.partition[at]!;
    const shard = shardOf(r.rank, partition);
    const used = kept.used[shard]![r.source]!;
    let set = used.get(partition);
    if (!set) used.set(partition, (set = new BitSet()));
    const words = rows.stacktraceWords;
    for (let k = rows.offset[at]!; k < rows.offset[at + 1]!; k++) set.add(words[2 * k]!);
    kept.counts[shard]!.rows++;
    kept.counts[shard]!.samples += rows.offset[at + 1]! - rows.offset[at]!;
  };
  const settle = (): void => {
    if (group.length === 1) keep(group[0]!);
    else {
      const winners: MergedRow[] = [];
      for (const r of group) {
        const i = winners.findIndex((w) => sameId(w.rows, w.at, r.rows, r.at));
        if (i < 0) {
          winners.push(r);
          continue;
        }
        kept.duplicates++;
        const a = winners[i]!.rows.total[winners[i]!.at]!,
          b = r.rows.total[r.at]!;
        if (b > 0n && (a <= 0n || b < a)) winners[i] = r;
      }
      for (const w of winners) keep(w);
    }
    group = [];
  };
  while (await walk.next()) {
    const c = walk.current;
    if (isDropped(c.rank, c.rows, c.at)) {
      kept.dropped++;
      continue;
    }
    const first = group[0];
    if (
      first &&
      (first.rank !== c.rank ||
        first.rows.timeLow[first.at] !== c.rows.timeLow[c.at] ||
        first.rows.timeHigh[first.at] !== c.rows.timeHigh[c.at])
    )
      settle();
    group.push({ ...c });
  }
  if (group.length > 0) settle();
  return kept;
}

function sameId(a: Rows, i: number, b: Rows, k: number): boolean {
  for (let n = 0; n < 16; n++) if (a.id[i * 16 + n] !== b.id[k * 16 + n]) return false;
  return true;
}
