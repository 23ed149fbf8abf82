import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadHasher } from "@cinderblock/bytes";
import { blockFilesIn, BlockReader } from "@cinderblock/block";
import { type BlockMeta, LABEL_SHARD } from "@cinderblock/block-meta";
import {
  BucketIndexUpdater,
  compactBlocks,
  markForDeletion,
  findAnomalies,
  uploadBlock,
  verifyBlock,
} from "@cinderblock/compact";
import { CinderblockError } from "@cinderblock/errors";
import { labelsText, labelValue } from "@cinderblock/model";
import { FilesystemBucket } from "@cinderblock/objstore";
import {
  formatBytes,
  selectedBlocks,
  type CommandContext,
  openConfiguredBucket,
  printRows,
  progressBar,
  tenantsOf,
  formatTime,
} from "./context.ts";

const size = (m: BlockMeta): number => m.files.reduce((n, f) => n + f.sizeBytes, 0);

/** Lists the blocks of a bucket. */
export async function listBlocks(c: CommandContext): Promise<number> {
  const bucket = await openConfiguredBucket(c);
  printRows(
    c,
    (await selectedBlocks(c, bucket)).map(({ tenant, meta: m }) => ({
      tenant,
      block: m.ulid,
      level: m.compaction.level,
      shard: m.labels[LABEL_SHARD] ?? "",
      from: formatTime(m.minTimeMs),
      to: formatTime(m.maxTimeMs),
      series: m.stats.numSeries,
      profiles: m.stats.numProfiles,
      samples: m.stats.numSamples,
      size: c.config.output === "json" ? size(m) : formatBytes(size(m)),
    })),
  );
  return 0;
}

/** Prints the contents of blocks: files, profile types, services, symbol partitions. */
export async function inspectBlocks(c: CommandContext): Promise<number> {
  if (c.args.length === 0) throw new CinderblockError("invalid", "name the blocks: blocks inspect ULID…");
  const bucket = await openConfiguredBucket(c),
    hasher = await loadHasher(),
    found = [];
  for (const { tenant, meta } of await selectedBlocks(c, bucket)) {
    const reader = new BlockReader(meta, blockFilesIn(bucket, `${tenant}/phlaredb/${meta.ulid}`), hasher);
    await reader.open();
    const table = await reader.load(["totals"]);
    const count = (name: string): Record<string, number> => {
      const n = new Map<string, number>();
      for (const s of reader.series) {
        const v = labelValue(s.labels, name);
        n.set(v, (n.get(v) ?? 0) + 1);
      }
      return Object.fromEntries(n);
    };
    found.push({
      tenant,
      block: meta.ulid,
      from: formatTime(meta.minTimeMs),
      to: formatTime(meta.maxTimeMs),
      level: meta.compaction.level,
      sources: meta.compaction.sources,
      labels: meta.labels,
      stats: meta.stats,
      files: Object.fromEntries(meta.files.map((f) => [f.relPath, f.sizeBytes])),
      rows: table.timeNanos.length,
      symbolPartitions: reader.partitions.length,
      profileTypes: count("__profile_type__"),
      services: count("service_name"),
      series: reader.series
        .slice(0, c.config.limit === 0 ? undefined : c.config.limit)
        .map((s) => labelsText(s.labels)),
    });
  }
  if (c.config.output === "json") {
    c.out.write(`${JSON.stringify(found, undefined, 1)}\n`);
    return 0;
  }
  for (const b of found) {
    c.out.write(
      `${b.block} of ${b.tenant}, ${b.from} to ${b.to}, level ${b.level}\n  ${b.rows.toLocaleString("en")} rows, ${b.stats.numSamples.toLocaleString("en")} samples, ${b.stats.numSeries} series, ${b.symbolPartitions} symbol partitions\n`,
    );
    for (const [path, n] of Object.entries(b.files))
      c.out.write(`  ${path.padEnd(34)} ${formatBytes(n).padStart(10)}\n`);
    for (const [what, n] of [
      ["profile types", b.profileTypes],
      ["services", b.services],
    ] as const)
      c.out.write(
        `  ${what}: ${Object.entries(n)
          .map(([k, v]) => `${k} (${v})`)
          .join(", ")}\n`,
      );
    for (const s of b.series) c.out.write(`    ${s}\n`);
    if (b.series.length < b.stats.numSeries)
      c.out.write(`    … ${b.stats.numSeries - b.series.length} more; -limit=0 shows all\n`);
  }
  return 0;
}

/**
 * Verifies every checksum, order, sum and reference of blocks; without arguments, of all blocks, and reports
 * objects that are not blocks. Exit code 0: all are sound.
 */
export async function verifyBlocks(c: CommandContext): Promise<number> {
  const bucket = await openConfiguredBucket(c),
    all = await selectedBlocks(c, bucket),
    bar = progressBar(c, "verified");
  const rows: Record<string, string>[] = [];
  if (c.args.length === 0)
    for (const tenant of await tenantsOf(c, bucket))
      for (const o of await findAnomalies(bucket, tenant, Date.now()))
        rows.push({
          tenant,
          block: o.name.slice(`${tenant}/phlaredb/`.length),
          found: `${o.kind}: ${o.why}`,
        });
  for (const [i, { tenant, meta }] of all.entries()) {
    let found = "sound";
    try {
      for (const f of meta.files) {
        const { size: n } = await bucket.attributes(`${tenant}/phlaredb/${meta.ulid}/${f.relPath}`);
        if (n !== f.sizeBytes)
          throw new CinderblockError("corrupt", `${f.relPath}: expected ${f.sizeBytes} bytes, found ${n}`);
      }
      await verifyBlock(meta, blockFilesIn(bucket, `${tenant}/phlaredb/${meta.ulid}`));
    } catch (err) {
      found = (err as Error).message;
    }
    rows.push({ tenant, block: meta.ulid, found });
    bar(i + 1, all.length);
  }
  printRows(c, rows);
  return rows.every((r) => r.found === "sound") ? 0 : 1;
}

/** Merges blocks of one tenant, verifies the result and uploads it. */
export async function compactSelected(c: CommandContext): Promise<number> {
  if (c.args.length === 0)
    throw new CinderblockError("invalid", "name the blocks: blocks compact ULID ULID…");
  const bucket = await openConfiguredBucket(c),
    all = await selectedBlocks(c, bucket);
  const tenants = new Set(all.map((b) => b.tenant));
  if (tenants.size !== 1)
    throw new CinderblockError(
      "invalid",
      `blocks of several tenants cannot be merged: ${[...tenants].join(", ")}`,
    );
  const [tenant] = [...tenants] as [string];
  const workDir = mkdtempSync(join(tmpdir(), "cinderblock-compact-"));
  try {
    const { outputs, rows, duplicates } = await compactBlocks(
      all.map(({ meta }) => ({ meta, files: blockFilesIn(bucket, `${tenant}/phlaredb/${meta.ulid}`) })),
      {
        shards: c.config.shards,
        splitBy: "fingerprint",
        downsample: false,
        memoryBytes: 256 << 20,
        workDir,
        onProgress: progressBar(c, "rows"),
      },
    );
    for (const o of outputs)
      await verifyBlock(o.meta, blockFilesIn(new FilesystemBucket(workDir), o.meta.ulid));
    for (const o of outputs) await uploadBlock(bucket, tenant, o.dir, o.meta);
    if (c.config.mark === "yes")
      for (const { meta } of all)
        await markForDeletion(bucket, tenant, meta.ulid, "source of compacted block", Date.now());
    await new BucketIndexUpdater(bucket, c.base).updateTenant(tenant);
    printRows(
      c,
      outputs.map((o) => ({
        tenant,
        block: o.meta.ulid,
        profiles: o.meta.stats.numProfiles,
        size: c.config.output === "json" ? size(o.meta) : formatBytes(size(o.meta)),
      })),
    );
    c.err.write(
      `${rows.toLocaleString("en")} rows of ${all.length} blocks, ${duplicates} duplicates removed\n`,
    );
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
  return 0;
}

/** Rebuilds the bucket index of tenants. */
export async function rebuildIndex(c: CommandContext): Promise<number> {
  const bucket = await openConfiguredBucket(c),
    updater = new BucketIndexUpdater(bucket, c.base),
    rows = [];
  for (const tenant of await tenantsOf(c, bucket)) {
    const name = `${tenant}/phlaredb/bucket-index.json.gz`;
    if (await bucket.exists(name)) await bucket.delete(name);
    const index = await updater.updateTenant(tenant);
    rows.push({ tenant, blocks: index?.blocks.length ?? 0, marks: index?.marks.length ?? 0 });
  }
  printRows(c, rows);
  return 0;
}
