/**
 * A block as a member of a set of shards: a split writes one block for each shard that has rows.
 *
 *   sources [A, B] split by 3:   1_of_3   2_of_3   (3_of_3 has no rows: hint empty-shard:3_of_3 on the others)
 */
export interface ShardOfSet {
  /** level-1 blocks that the block holds */
  sources: readonly string[];
  /** shard label, such as `2_of_3`; "": the block is not split */
  shardId: string;
  /** hints of the block's meta, see emptyShardHint */
  hints: readonly string[];
}

/** Number of a shard, from 1 to `of`. */
export interface ShardNumber {
  number: number;
  of: number;
}

/** Parses `2_of_3`; undefined for other texts. */
export function parseShard(text: string): ShardNumber | undefined {
  const m = /^(\d+)_of_(\d+)$/.exec(text);
  return m ? { number: Number(m[1]), of: Number(m[2]) } : undefined;
}

/** Hint that a shard is empty: for all sources of the block, or for one. Format: docs/formats/meta-json.md */
export function emptyShardHint(shard: ShardNumber, source?: string): string {
  return `empty-shard:${shard.number}_of_${shard.of}${source === undefined ? "" : `:${source}`}`;
}

const REWRITTEN = "rewritten:";
/**
 * Hint that a block was rewritten without some of its sources' rows, so that cached answers may be wrong now.
 * Format: docs/formats/meta-json.md
 */
export function rewrittenHint(ulid: string): string {
  return REWRITTEN + ulid;
}
/** Whether a hint comes from `rewrittenHint`. */
export function isRewrittenHint(hint: string): boolean {
  return hint.startsWith(REWRITTEN);
}

/** Shards that are empty for one of the block's sources, according to its hints; other hints are ignored. */
export function emptyShardsOf(block: ShardOfSet, source: string): ShardNumber[] {
  return block.hints.flatMap((h) => {
    const m = /^empty-shard:(\d+_of_\d+)(?::(.*))?$/.exec(h),
      shard = m && parseShard(m[1]!);
    return shard && (m[2] === undefined || m[2] === source) ? [shard] : [];
  });
}

/**
 * Hints of a block that is merged from others. A shard is empty for the sources for which a part says so; if
 * these are all sources, one hint covers them.
 */
export function mergedHints(parts: readonly ShardOfSet[]): string[] {
  const sources = [...new Set(parts.flatMap((p) => p.sources))].sort();
  /** shard -> sources for which it is empty */
  const empty = new Map<string, { shard: ShardNumber; sources: Set<string> }>();
  for (const p of parts) {
    for (const source of p.sources) {
      for (const shard of emptyShardsOf(p, source)) {
        const key = `${shard.number}_of_${shard.of}`,
          known = empty.get(key);
        if (known) known.sources.add(source);
        else empty.set(key, { shard, sources: new Set([source]) });
      }
    }
  }
  return [...empty.values()]
    .sort((a, b) => a.shard.number - b.shard.number)
    .flatMap((e) =>
      e.sources.size === sources.length
        ? [emptyShardHint(e.shard)]
        : [...e.sources].sort().map((s) => emptyShardHint(e.shard, s)),
    );
}

/**
 * Whether blocks hold all data of a source: one is not split, or every shard of a set exists or is declared
 * empty. Sets of different sizes do not complete each other.
 */
export function hasCompleteSource(source: string, blocks: readonly ShardOfSet[]): boolean {
  const sets = new Map<number, Set<number>>();
  const add = ({ number, of }: ShardNumber): void => {
    const set = sets.get(of);
    if (set) set.add(number);
    else sets.set(of, new Set([number]));
  };
  for (const b of blocks) {
    if (!b.sources.includes(source)) continue;
    const shard = parseShard(b.shardId);
    if (!shard) return true;
    add(shard);
    for (const e of emptyShardsOf(b, source)) add(e);
  }
  return [...sets].some(([of, numbers]) => numbers.size >= of);
}
