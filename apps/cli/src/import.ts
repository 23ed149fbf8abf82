import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadHasher } from "@cinderblock/bytes";
import type { BlockMeta } from "@cinderblock/block-meta";
import { BucketIndexUpdater, uploadBlock } from "@cinderblock/compact";
import { CinderblockError, kindOf } from "@cinderblock/errors";
import { HeadShard } from "@cinderblock/head";
import { parseAppName, type PushOutcome, PushProcessor, RateGate } from "@cinderblock/ingest";
import { limitsOf } from "@cinderblock/runtime";
import { checkTenantId, DEFAULT_TENANT, pathBelow, tenantFolder } from "@cinderblock/tenant";
import {
  formatBytes,
  type CommandContext,
  openConfiguredBucket,
  printRows,
  progressBar,
  formatTime,
} from "./context.ts";

const HOUR = 3_600_000_000_000n;

/** Files below a path, sorted by name. */
function files(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap((e) => files(join(path, e.name)));
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === "ENOTDIR") return [path];
    throw new CinderblockError("not-found", `${path}: ${(err as Error).message}`, { cause: err });
  }
}

/** Imports pprof files of any age into the bucket, as one block for each hour, like an ingester. */
export async function importProfiles(c: CommandContext): Promise<number> {
  const { config } = c;
  if (c.args.length === 0)
    throw new CinderblockError(
      "invalid",
      "name files or folders: import -name='shop.cpu{env=prod}' profiles/",
    );
  if (config.name === "")
    throw new CinderblockError("invalid", "name the series: -name='shop.cpu{env=prod}'");
  const tenant = config.tenant === "" ? DEFAULT_TENANT : checkTenantId(config.tenant),
    bucket = await openConfiguredBucket(c),
    hasher = await loadHasher();
  const work = mkdtempSync(join(tmpdir(), "cinderblock-import-")),
    metas: BlockMeta[] = [];
  try {
    const shard = new HeadShard(hasher, {
      shard: 0,
      dataPath: work,
      windowNanos: HOUR,
      headBytes: 1 << 30,
      logBytes: 4 * 2 ** 30,
      segmentBytes: 64 << 20,
      idleMs: 3600_000,
      sync: false,
      onFailure: (err) => {
        throw err;
      },
      onBlock: (_t, m) => metas.push(m),
      now: () => Date.now(),
    });
    shard.replay();
    shard.resume();
    const processor = new PushProcessor(hasher, shard),
      { app, tags } = parseAppName(config.name);
    const limits = {
      ...limitsOf(config),
      ingestionRateBytes: 0,
      rejectOlderThanMs: 0,
      rejectNewerThanMs: 0,
      maxSeriesPerTenant: 0,
      maxProfileSizeBytes: 0,
      maxProfileStacktraceSamples: 0,
    };
    const list = c.args.flatMap(files),
      bar = progressBar(c, "files"),
      refused: { file: string; why: string }[] = [];
    let profiles = 0;
    for (const [i, file] of list.entries()) {
      const body = readFileSync(file);
      const take = (): PushOutcome =>
        processor.process(
          tenant,
          {
            kind: "ingest",
            body,
            request: {
              app,
              tags,
              format: "pprof",
              boundary: "",
              spyName: "cli",
              sampleRate: 100,
              fromNanos: BigInt(Date.now()) * 1_000_000n,
              durationNanos: 0n,
            },
          },
          limits,
          new RateGate(new SharedArrayBuffer(8)),
          Date.now(),
        );
      let out: PushOutcome;
      try {
        out = take();
      } catch (err) {
        if (kindOf(err) !== "no-room") throw err;
        await shard.flush();
        out = take();
      }
      profiles += out.error ? 0 : out.profiles;
      if (out.error) refused.push({ file, why: out.error.message });
      if (i % 64 === 63) await shard.commit();
      bar(i + 1, list.length);
    }
    await shard.commit();
    await shard.flush();
    for (const m of metas)
      await uploadBlock(bucket, tenant, pathBelow(tenantFolder(work, tenant), "local", m.ulid), {
        ...m,
        source: "ingester",
      });
    if (metas.length > 0) await new BucketIndexUpdater(bucket, c.base).updateTenant(tenant);
    await shard.close();
    printRows(
      c,
      metas.map((m) => ({
        tenant,
        block: m.ulid,
        from: formatTime(m.minTimeMs),
        to: formatTime(m.maxTimeMs),
        profiles: m.stats.numProfiles,
        size: formatBytes(m.files.reduce((n, f) => n + f.sizeBytes, 0)),
      })),
    );
    c.err.write(
      `${profiles} of ${list.length} files\n${refused.map((r) => `${r.file}: ${r.why}\n`).join("")}`,
    );
    return refused.length === 0 ? 0 : 1;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
