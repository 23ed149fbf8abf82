import { createHash } from "node:crypto";
import { hasCompleteSource, isRewrittenHint, parseShard } from "@cinderblock/block-meta";
import type { BlockInfo } from "@cinderblock/query";

const sourcesOf = (b: BlockInfo): readonly string[] => (b.sources.length > 0 ? b.sources : [b.ulid]);

/**
 * Selects the latest blocks of one shard (or of unsharded blocks) that hold every source. A merged block goes
 * before its parents, and of two equal blocks the smaller ULID wins. No source is in two selected blocks,
 * with one exception: two compactors with different lists may have merged [X, Y] and [Y, W]. If W is nowhere
 * else, both blocks are read and their rows are compared.
 */
function latest(blocks: readonly BlockInfo[]): BlockInfo[] {
  const order = [...blocks].sort(
    (a, b) => b.level - a.level || sourcesOf(b).length - sourcesOf(a).length || (a.ulid < b.ulid ? -1 : 1),
  );
  const covered = new Set<string>(),
    out: BlockInfo[] = [];
  const take = (b: BlockInfo): void => {
    out.push(b);
    for (const s of sourcesOf(b)) covered.add(s);
  };
  for (const b of order) if (!sourcesOf(b).some((s) => covered.has(s))) take(b);
  for (const b of order) if (!sourcesOf(b).every((s) => covered.has(s))) take(b);
  return out;
}

/** Maps each source to the name of its group: sources that share a block are read in the same form. */
function groups(blocks: readonly BlockInfo[]): Map<string, string> {
  const parent = new Map<string, string>();
  const find = (s: string): string => {
    let root = s;
    for (let p = parent.get(root)!; p !== root; p = parent.get(root)!) root = p;
    parent.set(s, root);
    return root;
  };
  for (const b of blocks) {
    const [first, ...rest] = sourcesOf(b);
    for (const s of sourcesOf(b)) if (!parent.has(s)) parent.set(s, s);
    for (const s of rest) parent.set(find(s), find(first!));
  }
  return new Map([...parent.keys()].map((s) => [s, find(s)]));
}

/**
 * Chooses the blocks that answer, so that each profile is in at least one of them; the comparison of rows
 * (`comparison.ts`) counts shared rows once. A source (a level-1 block) is read from the shards of its split,
 * each at its own level, when every shard is present or recorded as empty. Otherwise the source is read from
 * the latest unsharded block. Without one, the remaining shards are read, with a warning. Shards are merged
 * one by one, and a shard that only one part has stays at its level: so each shard is planned separately, and
 * sources that share a block are planned together. The candidates are all blocks of the tenant, because
 * blocks outside the range also decide whether a split is complete. Only blocks that overlap [startMs, endMs]
 * are chosen.
 */
export function planBlocks(
  candidates: readonly BlockInfo[],
  startMs = 0,
  endMs = Number.MAX_SAFE_INTEGER,
): { chosen: BlockInfo[]; warnings: string[] } {
  const byShard = new Map<string, BlockInfo[]>();
  for (const b of candidates) {
    // Treat a block as unsharded if its shard label has an unknown form.
    const shard = parseShard(b.shardId) ? b.shardId : "";
    const list = byShard.get(shard);
    if (list) list.push(b);
    else byShard.set(shard, [b]);
  }
  const whole = latest(byShard.get("") ?? []),
    shards = [...byShard].flatMap(([shard, list]) => (shard === "" ? [] : latest(list)));
  const groupOf = groups([...whole, ...shards]);
  const members = new Map<string, { sources: string[]; whole: BlockInfo[]; shards: BlockInfo[] }>();
  for (const [source, group] of groupOf) {
    const m = members.get(group);
    if (m) m.sources.push(source);
    else members.set(group, { sources: [source], whole: [], shards: [] });
  }
  for (const b of whole) members.get(groupOf.get(sourcesOf(b)[0]!)!)!.whole.push(b);
  for (const b of shards) members.get(groupOf.get(sourcesOf(b)[0]!)!)!.shards.push(b);

  const chosen: BlockInfo[] = [],
    warnings: string[] = [];
  const inRange = (b: BlockInfo): boolean => b.minTimeMs <= endMs && b.maxTimeMs >= startMs;
  for (const g of members.values()) {
    const of = new Map<string, BlockInfo[]>();
    for (const b of g.shards)
      for (const s of sourcesOf(b)) {
        const list = of.get(s);
        if (list) list.push(b);
        else of.set(s, [b]);
      }
    const missing = g.sources.filter(
      (s) =>
        !hasCompleteSource(
          s,
          (of.get(s) ?? []).map((b) => ({ sources: sourcesOf(b), shardId: b.shardId, hints: b.hints })),
        ),
    );
    if (missing.length === 0) {
      chosen.push(...g.shards.filter(inRange));
      continue;
    }
    const readable = new Set(g.whole.flatMap(sourcesOf));
    if (g.sources.every((s) => readable.has(s))) {
      chosen.push(...g.whole.filter(inRange));
      continue;
    }
    // Neither form is complete: read unsharded blocks for sources with missing shards, and shards for the
    // other sources. Both may hold one source; the comparison of rows counts it once.
    const incomplete = new Set(missing);
    const wholes = g.whole.filter((b) => sourcesOf(b).some((s) => incomplete.has(s)));
    const held = new Set(wholes.flatMap(sourcesOf));
    const left = [...wholes, ...g.shards.filter((b) => !sourcesOf(b).every((s) => held.has(s)))];
    if (!left.some(inRange)) continue;
    const gone = missing.filter((s) => !readable.has(s)).length;
    if (gone > 0)
      warnings.push(
        gone === g.sources.length
          ? "shards of a compaction and all of their source blocks are missing"
          : `shards of a compaction and ${gone} of their ${g.sources.length} source blocks are missing`,
      );
    chosen.push(...left.filter(inRange));
  }
  return { chosen, warnings };
}

/** Compactions merge blocks within one such window, so the sources of a whole window stay the same. */
const DIGEST_WINDOW_MS = 8 * 3600_000;
/**
 * Version of the rule that turns sources into an answer. Version 2 compares every two blocks that may share
 * rows, whatever their levels. Results cached under another version are not found.
 */
const DIGEST_FORM = "compared-2";

/**
 * Identifies the data behind an answer for [startMs, endMs]: the level-1 sources of every block in its
 * windows, which a compaction does not change, and the rewrites of deletions. "": ingesters alone hold some
 * of the data, which may grow.
 */
export function digestOf(
  candidates: readonly BlockInfo[],
  stored: (b: BlockInfo) => boolean,
  startMs: number,
  endMs: number,
): string {
  const from = Math.floor(startMs / DIGEST_WINDOW_MS) * DIGEST_WINDOW_MS,
    to = (Math.floor(endMs / DIGEST_WINDOW_MS) + 1) * DIGEST_WINDOW_MS;
  const of = new Set<string>();
  for (const b of candidates) {
    if (b.minTimeMs <= endMs && b.maxTimeMs >= startMs && !stored(b)) return "";
    if (b.minTimeMs >= to || b.maxTimeMs < from) continue;
    for (const s of sourcesOf(b)) of.add(s);
    for (const h of b.hints) if (isRewrittenHint(h)) of.add(h);
  }
  return createHash("sha256")
    .update([DIGEST_FORM, ...[...of].sort()].join())
    .digest("base64url");
}
