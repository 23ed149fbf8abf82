import {
  type BlockMeta,
  hasCompleteSource,
  LABEL_HOSTNAME,
  LABEL_SHARD,
  type ShardOfSet,
  ulidBytes,
} from "@cinderblock/block-meta";
import { fnv1 } from "@cinderblock/bytes";

/** Ranges and shards of a tenant's compactions. */
export interface PlanOptions {
  /** ascending; each range is a multiple of the preceding one */
  rangesMs: readonly number[];
  /** number of shards; 0: series are not split */
  shards: number;
  splitGroups: number;
}

/** Blocks that a compaction merges into one block, or into one set of shards. */
export interface CompactionJob {
  /** key of the job: equal blocks have an equal key in every process */
  key: string;
  stage: "split" | "merge";
  shardId: string;
  rangeStartMs: number;
  rangeEndMs: number;
  blocks: BlockMeta[];
}

/**
 * Key of a group: only blocks with equal resolution and equal labels, except shard and host name, are merged.
 */
function groupKey(m: BlockMeta): string {
  const labels = Object.entries(m.labels)
    .filter(([k]) => k !== LABEL_SHARD && k !== LABEL_HOSTNAME)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `${m.downsampleResolution}@${JSON.stringify(labels)}`;
}

const shardOf = (m: BlockMeta): string => m.labels[LABEL_SHARD] ?? "";
const overlap = (a: CompactionJob, b: CompactionJob): boolean =>
  a.rangeStartMs < b.rangeEndMs && b.rangeStartMs < a.rangeEndMs;

/**
 * Plans the jobs that v1 would plan (docs/formats/meta-json.md). Within each group and aligned range, blocks
 * without a shard are split if shards are configured. Blocks of equal shard are merged if there are at least
 * two. Jobs of smaller ranges win over jobs that they overlap; the newest range waits until it is complete.
 * Unlike v1, a late block skips the jobs of smaller ranges if a compacted block of a wider range and of the
 * same shard covers its time: one job merges both. Until then, queries compare their rows; a merge with other
 * late blocks would only prolong that.
 */
export function planJobs(metas: readonly BlockMeta[], options: PlanOptions): CompactionJob[] {
  const groups = new Map<string, BlockMeta[]>();
  for (const m of metas) {
    const key = groupKey(m);
    const list = groups.get(key);
    if (list) list.push(m);
    else groups.set(key, [m]);
  }
  const out: CompactionJob[] = [];
  for (const [key, blocks] of groups) out.push(...planGroup(key, blocks, options));
  return out.sort(
    (a, b) =>
      a.rangeEndMs - a.rangeStartMs - (b.rangeEndMs - b.rangeStartMs) ||
      a.rangeStartMs - b.rangeStartMs ||
      (a.key < b.key ? -1 : 1),
  );
}

function planGroup(
  group: string,
  metas: readonly BlockMeta[],
  { rangesMs, shards, splitGroups }: PlanOptions,
): CompactionJob[] {
  const newest = Math.max(...metas.map((m) => m.maxTimeMs));
  const jobs: CompactionJob[] = [];
  const coverOf = covers(metas, rangesMs);
  rangesMs.forEach((range, level) => {
    const splitting = level === 0 && shards > 0;
    for (const [start, inRange] of byRange(metas, range)) {
      const end = start + range;
      const blocks = inRange.filter((m) => (coverOf.get(m) ?? 0) <= range);
      const job = (stage: CompactionJob["stage"], shardId: string, list: BlockMeta[], part: string): void => {
        const planned: CompactionJob = {
          key: `${group}-${stage}-${part}-${start}-${end}`,
          stage,
          shardId,
          rangeStartMs: start,
          rangeEndMs: end,
          blocks: list.sort((a, b) => a.minTimeMs - b.minTimeMs || (a.ulid < b.ulid ? -1 : 1)),
        };
        // Leave out a job that overlaps a job of a smaller range, unless both are of the same stage and of
        // different shards.
        if (
          jobs.some(
            (j) =>
              j.rangeEndMs - j.rangeStartMs < range &&
              overlap(j, planned) &&
              (j.stage !== stage || j.shardId === shardId),
          )
        )
          return;
        const spans =
          Math.min(...list.map((m) => m.minTimeMs)) === start &&
          Math.max(...list.map((m) => m.maxTimeMs)) === end;
        if (end > newest && !spans) return;
        jobs.push(planned);
      };
      if (splitting) {
        const bySplit = new Map<number, BlockMeta[]>();
        for (const m of blocks) {
          if (shardOf(m) !== "") continue;
          const part = splitGroups > 1 ? fnv1(ulidBytes(m.ulid)) % splitGroups : 0;
          const list = bySplit.get(part);
          if (list) list.push(m);
          else bySplit.set(part, [m]);
        }
        for (const [part, list] of bySplit)
          job(
            "split",
            `${part + 1}_of_${Math.max(1, splitGroups)}`,
            list,
            `${part + 1}_of_${Math.max(1, splitGroups)}`,
          );
      }
      const byShard = new Map<string, BlockMeta[]>();
      for (const m of blocks) {
        if (splitting && shardOf(m) === "") continue;
        const list = byShard.get(shardOf(m));
        if (list) list.push(m);
        else byShard.set(shardOf(m), [m]);
      }
      for (const [shardId, list] of byShard) if (list.length > 1) job("merge", shardId, list, shardId);
    }
  });
  return jobs;
}

/**
 * Late block -> range of the job that merges it: the range of a compacted block that has the same shard,
 * covers the late block's time, and does not fit into the late block's range.
 */
function covers(metas: readonly BlockMeta[], rangesMs: readonly number[]): Map<BlockMeta, number> {
  const startOf = (m: BlockMeta, range: number): number => Math.floor(m.minTimeMs / range) * range;
  /** index of the smallest range that holds a block; `rangesMs.length` if none does */
  const levelOf = (m: BlockMeta): number => {
    const level = rangesMs.findIndex((r) => m.maxTimeMs <= startOf(m, r) + r);
    return level < 0 ? rangesMs.length : level;
  };
  const key = (m: BlockMeta, range: number): string => `${startOf(m, range)}/${range}/${shardOf(m)}`;
  const wide = new Map<string, BlockMeta[]>();
  for (const m of metas) {
    const range = rangesMs[levelOf(m)];
    if (m.compaction.level < 2 || range === undefined) continue;
    const list = wide.get(key(m, range));
    if (list) list.push(m);
    else wide.set(key(m, range), [m]);
  }
  const out = new Map<BlockMeta, number>();
  for (const m of metas)
    for (const range of rangesMs.slice(levelOf(m) + 1)) {
      const found = wide
        .get(key(m, range))
        ?.some((w) => m.minTimeMs <= w.maxTimeMs && w.minTimeMs <= m.maxTimeMs);
      if (found) out.set(m, range);
    }
  return out;
}

/** Blocks within one aligned range, by range start; other blocks are left out. */
function byRange(metas: readonly BlockMeta[], range: number): Map<number, BlockMeta[]> {
  const out = new Map<number, BlockMeta[]>();
  for (const m of metas) {
    const start = Math.floor(m.minTimeMs / range) * range;
    if (m.maxTimeMs > start + range) continue;
    const list = out.get(start);
    if (list) list.push(m);
    else out.set(start, [m]);
  }
  return out;
}

/**
 * Blocks whose content is in other blocks, so that they may be marked. Their sources are a subset of the
 * sources of a block with the same shard. For a block without a shard, it suffices that blocks of higher
 * levels hold each of its sources.
 */
export function outdatedBlocks(metas: readonly BlockMeta[]): BlockMeta[] {
  const sourcesOf = new Map(
    metas.map((m) => [m.ulid, new Set(m.compaction.sources.length > 0 ? m.compaction.sources : [m.ulid])]),
  );
  const covers = (outer: BlockMeta, inner: BlockMeta): boolean => {
    const o = sourcesOf.get(outer.ulid)!,
      i = sourcesOf.get(inner.ulid)!;
    if (
      outer === inner ||
      o.size < i.size ||
      (o.size === i.size &&
        (outer.compaction.level < inner.compaction.level ||
          (outer.compaction.level === inner.compaction.level && outer.ulid > inner.ulid)))
    )
      return false;
    for (const s of i) if (!o.has(s)) return false;
    return true;
  };
  return metas.filter((inner) => {
    const successors = metas.filter((outer) => covers(outer, inner));
    if (successors.some((s) => shardOf(s) === shardOf(inner))) return true;
    if (shardOf(inner) !== "") return false;
    const later = metas.filter((m) => m !== inner && m.compaction.level > inner.compaction.level).map(setOf);
    return [...sourcesOf.get(inner.ulid)!].every((source) => hasCompleteSource(source, later));
  });
}

const setOf = (m: BlockMeta): ShardOfSet => ({
  sources: m.compaction.sources.length > 0 ? m.compaction.sources : [m.ulid],
  shardId: shardOf(m),
  hints: m.compaction.hints ?? [],
});

/**
 * Blocks that together hold all data of a level-1 block: a block without a shard that has it as source, or a
 * complete set of shards, of any levels. Empty without a replacement.
 */
export function replacementBlocksOf(ulid: string, metas: readonly BlockMeta[]): BlockMeta[] {
  const of = metas.filter((m) => m.ulid !== ulid && m.compaction.sources.includes(ulid));
  const whole = of.find((m) => shardOf(m) === "");
  if (whole) return [whole];
  return hasCompleteSource(ulid, of.map(setOf)) ? of : [];
}
