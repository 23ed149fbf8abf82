/** A block as one of a set of shards. */
export interface ShardOfSet {
  /** level-1 blocks that it was made of */
  sources: readonly string[];
  /** `2_of_3`; empty: not split */
  shardId: string;
  hints: readonly string[];
}

export interface ShardNumber {
  number: number;
  of: number;
}

/** `2_of_3`; undefined where it is none. */
export function parseShard(text: string): ShardNumber | undefined {
  const m = /^(\d+)_of_(\d+)$/.exec(text);
  return m ? { number: Number(m[1]), of: Number(m[2]) } : undefined;
}

/** A hint that a shard has nothing: of all sources of the block, or of one. Format: docs/formats/meta-json.md */
export function emptyShardHint(shard: ShardNumber, source?: string): string {
  return `empty-shard:${shard.number}_of_${shard.of}${source === undefined ? "" : `:${source}`}`;
}

const REWRITTEN = "rewritten:";
/** A hint that rows were taken out of a block that its sources made: whatever was answered from it before may be wrong now. Format: docs/formats/meta-json.md */
export function rewrittenHint(ulid: string): string {
  return REWRITTEN + ulid;
}
export function isRewrittenHint(hint: string): boolean {
  return hint.startsWith(REWRITTEN);
}

/** Shards of which a block says that they have nothing of one of its sources. */
export function emptyShardsOf(block: ShardOfSet, source: string): ShardNumber[] {
  return block.hints.flatMap((h) => {
    const m = /^empty-shard:(\d+_of_\d+)(?::(.*))?$/.exec(h),
      shard = m && parseShard(m[1]!);
    return shard && (m[2] === undefined || m[2] === source) ? [shard] : [];
  });
}

/** What a block that is merged of others may say: a shard is empty for those sources for which a part says so, and for all when it is for each. */
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

/** Whether blocks hold all of a source: one that is not split, or every shard of a number, but for those that are said to be empty. */
export function holdAllOf(source: string, blocks: readonly ShardOfSet[]): boolean {
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
