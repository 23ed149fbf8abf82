import type { BlockInfo } from "@cinderblock/query";

/** Blocks that produced one another: outputs of one compaction job carry the same sources. */
interface Job { key: string; sources: string[]; level: number; blocks: BlockInfo[] }

/**
 * Which blocks answer, each profile once. Compacted blocks replace what they were made of when all outputs of their job
 * are there: one unsharded block, or every shard, or the shards that are there name the empty ones. Otherwise their
 * sources are read, and only where those are gone, what is left of the job. Per (sources, shard) the smallest ULID counts.
 * The candidates are all blocks of the tenant: what a range leaves out decides with the rest whether a job is whole. Only
 * blocks that overlap [startMs, endMs] are chosen.
 */
export function planBlocks(candidates: readonly BlockInfo[], startMs = 0, endMs = Number.MAX_SAFE_INTEGER): { chosen: BlockInfo[]; warnings: string[] } {
  const warnings: string[] = [];
  const jobs = new Map<string, Job>();
  for (const b of candidates) {
    const sources = b.sources.length > 0 ? [...b.sources].sort() : [b.ulid];
    const key = `${b.level}|${sources.join(",")}`;
    const job = jobs.get(key);
    if (job) job.blocks.push(b); else jobs.set(key, { key, sources, level: b.level, blocks: [b] });
  }
  const order = [...jobs.values()].sort((a, b) => b.level - a.level || b.sources.length - a.sources.length);
  const covered = new Set<string>();
  const chosen: BlockInfo[] = [];
  order.forEach((job, at) => {
    if (job.sources.every((s) => covered.has(s))) return;
    const inRange = (b: BlockInfo): boolean => b.minTimeMs <= endMs && b.maxTimeMs >= startMs;
    const byShard = new Map<string, BlockInfo>();
    for (const b of job.blocks) { const known = byShard.get(b.shardId); if (!known || b.ulid < known.ulid) byShard.set(b.shardId, b); }
    if (!isComplete(byShard)) {
      const below = new Set(order.slice(at + 1).filter((j) => isComplete(new Map(j.blocks.map((b) => [b.shardId, b])))).flatMap((j) => j.sources));
      const readable = job.sources.filter((s) => below.has(s));
      if (readable.length === job.sources.length) return; // all of its sources can be read instead
      if (!job.blocks.some(inRange)) { for (const s of job.sources) covered.add(s); return; }
      if (readable.length > 0) warnings.push(`shards of a compaction are missing and ${job.sources.length - readable.length} of its ${job.sources.length} sources too`);
      else warnings.push("shards of a compaction are missing and so are its sources");
    }
    for (const s of job.sources) covered.add(s);
    chosen.push(...[...byShard.values()].filter(inRange));
  });
  return { chosen, warnings };
}

function isComplete(byShard: ReadonlyMap<string, BlockInfo>): boolean {
  if (byShard.has("")) return true;
  const numbers = new Set<number>();
  let n = 0;
  for (const [shard, b] of byShard) {
    const m = /^(\d+)_of_(\d+)$/.exec(shard);
    if (!m) return true; // an unknown kind of label is not a shard of a set
    numbers.add(Number(m[1]));
    n = Number(m[2]);
    for (const h of b.hints) { const e = /^empty-shard:(\d+)_of_(\d+)$/.exec(h); if (e) numbers.add(Number(e[1])); }
  }
  return numbers.size >= n;
}
