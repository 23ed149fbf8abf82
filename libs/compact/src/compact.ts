import { mkdirSync, rmSync } from "node:fs";
import type { BlockFiles } from "@cinderblock/block";
import {
  type BlockMeta,
  emptyShardHint,
  isRewrittenHint,
  LABEL_HOSTNAME,
  LABEL_SHARD,
  mergedHints,
  newUlid,
  rewrittenHint,
  ulidBefore,
} from "@cinderblock/block-meta";
import { CinderblockError } from "@cinderblock/errors";
import { type RowSelection, rowDropper } from "./row-selection.ts";
import { decideRows, type ShardOfRow } from "./row-decisions.ts";
import { mergeSeries, MergeWalk } from "./merge.ts";
import { OutputBlock } from "./output-block.ts";
import { SourceBlock, type StreamBounds } from "./source-block.ts";
import { StackMaps } from "./stack-maps.ts";
import { rewriteSymbols } from "./symbols.ts";

/** Options of a compaction. */
export interface CompactOptions {
  /** 0 or 1: one output with the sources' shard; more: number of outputs that the series are split into */
  shards: number;
  splitBy: "fingerprint" | "stacktracePartition";
  /** write tables of five minutes and one hour if the output's level is 3 or higher */
  downsample: boolean;
  /** memory budget of the compaction's columns in bytes; one symbol partition comes on top */
  memoryBytes: number;
  /** parent folder of the outputs, which are folders named by ULID */
  workDir: string;
  onProgress?: (rows: number, total: number) => void;
  /** selection of rows to leave out */
  drops?: readonly RowSelection[];
}

/** Outputs of a compaction, and counts of their rows. */
export interface CompactResult {
  outputs: { meta: BlockMeta; dir: string }[];
  rows: number;
  duplicates: number;
  dropped: number;
}

/** Decoded bytes of one sample in a run: two columns of 8-byte values, levels, spans. */
const ENTRY_BYTES = 48;
/** Columns of a source that are read concurrently. */
const COLUMNS = 9;
/** Bytes of one sample in a row group while it is collected and encoded. */
const SAMPLE_BYTES = 48;

/**
 * Rewrites a block without its dropped rows. The output replaces the source: it has the same level, sources
 * and shard, and the preceding ULID, which plans prefer. A shard that lost all of its rows stays as an empty
 * block, so that its set of shards is complete; another empty block gets no output.
 */
export async function rewriteBlock(
  block: { meta: BlockMeta; files: BlockFiles },
  drops: readonly RowSelection[],
  options: Pick<CompactOptions, "memoryBytes" | "workDir" | "onProgress">,
): Promise<CompactResult> {
  return merge(
    [block],
    {
      ...options,
      drops,
      shards: 0,
      splitBy: "fingerprint",
      downsample: block.meta.files.some((f) => f.relPath.endsWith("_sum.parquet")),
    },
    true,
  );
}

/**
 * Merges blocks of one tenant in two passes over their rows. The first pass reads the rows' identities and
 * decides which rows stay and which stacks they use. Then the symbols are rewritten, and the second pass
 * copies the rows. Memory is independent of the block sizes: runs of rows, a row group per output, one symbol
 * partition, and ID maps that spill to a file.
 */
export async function compactBlocks(
  blocks: readonly { meta: BlockMeta; files: BlockFiles }[],
  options: CompactOptions,
): Promise<CompactResult> {
  if (blocks.length === 0 || (blocks.length === 1 && options.shards < 2))
    throw new CinderblockError("invalid", "a compaction needs at least two blocks, or one block to split");
  return merge(blocks, options, false);
}

async function merge(
  blocks: readonly { meta: BlockMeta; files: BlockFiles }[],
  options: CompactOptions,
  rewriting: boolean,
): Promise<CompactResult> {
  const shards = Math.max(1, options.shards);
  const resolutions = new Set(blocks.map((b) => b.meta.downsampleResolution));
  if (resolutions.size > 1)
    throw new CinderblockError("invalid", "blocks of different resolutions cannot be merged");
  mkdirSync(options.workDir, { recursive: true });
  const bounds: StreamBounds = {
    maxEntries: within(2048, (options.memoryBytes * 0.2) / blocks.length / ENTRY_BYTES, 65_536),
    windowBytes: within(16 << 10, (options.memoryBytes * 0.2) / blocks.length / COLUMNS, 512 << 10),
  };
  const maxSamples = within(16_384, (options.memoryBytes * 0.3) / shards / SAMPLE_BYTES, 1 << 21);
  const metas = blocks.map((b) => b.meta);
  const level = Math.max(...metas.map((m) => m.compaction.level)) + (rewriting ? 0 : 1);
  const minTimeMs = Math.min(...metas.map((m) => m.minTimeMs)),
    maxTimeMs = Math.max(...metas.map((m) => m.maxTimeMs));

  const sources: SourceBlock[] = [];
  for (const b of blocks) sources.push(await SourceBlock.open(b.meta, b.files));
  const { series, ranks } = mergeSeries(sources);
  const n = BigInt(shards);
  const byRank =
    shards > 1 && options.splitBy === "fingerprint"
      ? Uint32Array.from(series, (s) => Number(BigInt.asUintN(64, s.fingerprint) % n))
      : undefined;
  const shardOf: ShardOfRow =
    shards === 1
      ? () => 0
      : byRank
        ? (rank) => byRank[rank]!
        : (_rank, partition) => Number(BigInt.asUintN(64, partition) % n);

  const kept = await decideRows(
    sources,
    ranks,
    shards,
    shardOf,
    bounds,
    rowDropper(series, options.drops ?? []),
  );
  const total = kept.counts.reduce((sum, c) => sum + c.rows, 0);
  const needed = (c: { samples: number }): boolean =>
    c.samples > 0 || (rewriting && metas[0]!.labels[LABEL_SHARD] !== undefined);
  const outputs = kept.counts.map((c) =>
    needed(c)
      ? new OutputBlock(
          options.workDir,
          rewriting ? ulidBefore(metas[0]!.ulid) : newUlid(minTimeMs),
          options.downsample && level >= 3,
          maxSamples,
        )
      : undefined,
  );
  const maps = new StackMaps(`${options.workDir}/stack-maps`, options.memoryBytes * 0.3);
  try {
    await rewriteSymbols(
      sources,
      kept.used,
      maps,
      outputs.map((o) => o?.symbols.write ?? nothing),
    );
    const walk = new MergeWalk(sources, ranks, true, bounds);
    let done = 0;
    /** stack map of the previous row, which mostly fits this row too */
    let map: Uint32Array = new Uint32Array(0),
      of = { shard: -1, source: -1, partition: 0n };
    while (await walk.next()) {
      const row = walk.current;
      if (!kept.rows[row.source]!.has(row.row)) continue;
      const partition = row.rows.partition[row.at]!;
      const shard = shardOf(row.rank, partition);
      if (partition !== of.partition || row.source !== of.source || shard !== of.shard) {
        map = maps.get(shard, row.source, partition);
        of = { shard, source: row.source, partition };
      }
      outputs[shard]?.add(row, series[row.rank]!, map);
      if ((++done & 16383) === 0) options.onProgress?.(done, total);
    }
    options.onProgress?.(done, total);
    return {
      rows: total,
      duplicates: kept.duplicates,
      dropped: kept.dropped,
      outputs: finish(outputs, metas, { level, minTimeMs, maxTimeMs, shards, rewriting }),
    };
  } catch (err) {
    for (const o of outputs) o?.closeFiles();
    throw err;
  } finally {
    maps.close();
    rmSync(`${options.workDir}/stack-maps`, { force: true });
  }
}

function within(least: number, value: number, most: number): number {
  return Math.max(least, Math.min(most, Math.floor(value)));
}

function nothing(): void {
  /* an empty shard has no output */
}

const sourcesOf = (m: BlockMeta): string[] =>
  m.compaction.sources.length > 0 ? m.compaction.sources : [m.ulid];

function finish(
  outputs: readonly (OutputBlock | undefined)[],
  metas: readonly BlockMeta[],
  c: { level: number; minTimeMs: number; maxTimeMs: number; shards: number; rewriting: boolean },
): { meta: BlockMeta; dir: string }[] {
  const sources = [...new Set(metas.flatMap(sourcesOf))].sort();
  const parents = metas.map((m) => ({ ulid: m.ulid, minTimeMs: m.minTimeMs, maxTimeMs: m.maxTimeMs }));
  const labels: Record<string, string> = {};
  for (const m of metas) Object.assign(labels, m.labels);
  delete labels[LABEL_HOSTNAME];
  // Plans treat a set of shards as complete when every shard exists or is named here (docs/correctness.md,
  // "Compaction is visible at once").
  const empty =
    c.shards > 1
      ? outputs.flatMap((o, i) => (o ? [] : [emptyShardHint({ number: i + 1, of: c.shards })]))
      : mergedHints(
          metas.map((m) => ({
            sources: sourcesOf(m),
            shardId: m.labels[LABEL_SHARD] ?? "",
            hints: m.compaction.hints ?? [],
          })),
        );
  const rewritten = new Set([
    ...metas.flatMap((m) => (m.compaction.hints ?? []).filter(isRewrittenHint)),
    ...(c.rewriting ? [rewrittenHint(metas[0]!.ulid)] : []),
  ]);
  const hints = [...empty, ...[...rewritten].sort()];
  return outputs.flatMap((o, shard) => {
    if (!o) return [];
    const meta: BlockMeta = {
      ...o.finish(),
      minTimeMs: c.minTimeMs,
      maxTimeMs: c.maxTimeMs,
      version: 3,
      source: "compactor",
      downsampleResolution: metas[0]!.downsampleResolution,
      compaction: { level: c.level, sources, parents, ...(hints.length > 0 ? { hints } : {}) },
      labels: c.shards > 1 ? { ...labels, [LABEL_SHARD]: `${shard + 1}_of_${c.shards}` } : labels,
    };
    o.writeMeta(meta);
    return [{ meta, dir: o.dir }];
  });
}
