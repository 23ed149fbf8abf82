import { BitSet } from "./bitset.ts";
import { type MergedRow, MergeWalk } from "./merge.ts";
import type { RowBatch, SourceBlock, StreamBounds } from "./source-block.ts";

/** Stacks that each shard's rows use: shard -> source -> symbol partition -> stacktrace IDs. */
export type UsedStacks = Map<bigint, BitSet>[][];

/** Result of the first pass: the kept rows, the stacks that they use, and the counts of each shard. */
export interface RowDecisions {
  /** source -> rows that are kept */
  rows: BitSet[];
  used: UsedStacks;
  /** shard -> rows and samples */
  counts: { rows: number; samples: number }[];
  duplicates: number;
  /** rows that `drops` excluded */
  dropped: number;
}

/** Returns the shard of a row, from the rank of its series and its symbol partition. */
export type ShardOfRow = (rank: number, partition: bigint) => number;

/**
 * Decides which rows to keep. Rows with equal (series, time, ID) are one profile (docs/correctness.md,
 * "Profile identity"), even within one block. Where replicas differ, the smallest positive sum stays, because
 * the larger baseline is right (docs/correctness.md, "Cumulative baselines").
 */
export async function decideRows(
  sources: readonly SourceBlock[],
  ranks: readonly Uint32Array[],
  shards: number,
  shardOf: ShardOfRow,
  bounds: StreamBounds,
  isDropped: (rank: number, rows: RowBatch, at: number) => boolean,
): Promise<RowDecisions> {
  const kept: RowDecisions = {
    rows: sources.map(() => new BitSet()),
    used: Array.from({ length: shards }, () => sources.map(() => new Map<bigint, BitSet>())),
    counts: Array.from({ length: shards }, () => ({ rows: 0, samples: 0 })),
    duplicates: 0,
    dropped: 0,
  };
  const walk = new MergeWalk(sources, ranks, false, bounds);
  /** consecutive rows with equal series and time, among which duplicates are found */
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

function sameId(a: RowBatch, i: number, b: RowBatch, k: number): boolean {
  for (let n = 0; n < 16; n++) if (a.id[i * 16 + n] !== b.id[k * 16 + n]) return false;
  return true;
}
