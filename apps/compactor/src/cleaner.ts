import { decodeTenantDeletionMark, encodeTenantDeletionMark, isUlid } from "@cinderblock/block-meta";
import { CinderblockError } from "@cinderblock/errors";
import { type Bucket, listAll } from "@cinderblock/objstore";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import {
  blocksPrefix,
  type BucketIndexUpdater,
  deleteBlock,
  markForDeletion,
  recordTenantDeletion,
  tenantMarkName,
} from "@cinderblock/compact";
import type { CompactorLimits } from "./limits.ts";

export interface CleanerConfig {
  intervalMs: number;
  /** a marked block is deleted this long after its mark */
  deletionDelayMs: number;
  /** remove index and markers of a tenant without blocks */
  removeEmptyTenants: boolean;
  /** count blocks beyond their retention instead of marking them for deletion */
  retentionDryRun: boolean;
  /** whether this compactor owns a tenant */
  owns: (tenant: string) => boolean;
}

/** Minimum deletion delay for partial blocks; a shorter delay disables their deletion. */
const LEAST_PARTIAL_DELAY_MS = 4 * 3600_000;
/** Deadline of one pass over all tenants. */
const PASS_DEADLINE_MS = 6 * 3600_000;

/** Applies retention, deletes marked blocks, removes stale partial blocks, and keeps the bucket index. */
export class BlocksCleaner implements Service {
  readonly name = "blocks-cleaner";
  private readonly loop;
  private running: Promise<void> | undefined;
  private readonly bucket: Bucket;
  private readonly index: BucketIndexUpdater;
  private readonly config: CleanerConfig;
  private readonly limits: CompactorLimits;
  private readonly base: Base;
  private readonly lastSuccess: { set(seconds: number): void };

  constructor(
    bucket: Bucket,
    index: BucketIndexUpdater,
    config: CleanerConfig,
    limits: CompactorLimits,
    base: Base,
  ) {
    this.bucket = bucket;
    this.index = index;
    this.config = config;
    this.limits = limits;
    this.base = base;
    this.lastSuccess = base.metrics.gauge(
      "pyroscope_compactor_block_cleanup_last_successful_run_timestamp_seconds",
      "Unix time of the last cleanup pass that succeeded for all tenants; before the first one, of the start.",
    );
    // An alert on its age also fires for a cleaner that never succeeds.
    this.lastSuccess.set(base.now() / 1000);
    this.loop = periodic(
      { name: "blocks-cleaner", everyMs: config.intervalMs, deadlineMs: PASS_DEADLINE_MS },
      () => this.run(),
      base,
    );
  }

  start(): Promise<void> {
    this.loop.start();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    await this.loop.stop(0);
    await this.running;
  }

  /** Runs one pass over all tenants; a failed tenant does not stop the others. */
  run(): Promise<void> {
    this.running ??= this.pass().finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  private async pass(): Promise<void> {
    const { metrics, log, now } = this.base;
    metrics.counter("pyroscope_compactor_block_cleanup_started_total", "Cleanups begun.").inc();
    let failed = false;
    try {
      for (const tenant of await this.index.tenants()) {
        if (!this.config.owns(tenant)) continue;
        try {
          await this.cleanTenant(tenant);
        } catch (err) {
          failed = true;
          log.warn({ tenant, err }, "tenant cleanup failed");
        }
      }
    } catch (err) {
      failed = true;
      log.warn({ err }, "listing tenants failed");
    }
    if (failed) {
      metrics
        .counter(
          "pyroscope_compactor_block_cleanup_failed_total",
          "Cleanup passes that failed for at least one tenant.",
        )
        .inc();
      return;
    }
    metrics
      .counter(
        "pyroscope_compactor_block_cleanup_completed_total",
        "Cleanup passes that succeeded for all tenants.",
      )
      .inc();
    this.lastSuccess.set(now() / 1000);
  }

  async cleanTenant(tenant: string): Promise<void> {
    const prefix = blocksPrefix(tenant);
    if (await this.deleteTenant(tenant)) return;
    const index = await this.index.updateTenant(tenant);
    if (!index) return;
    const now = this.base.now();
    const marked = new Map(index.marks.map((m) => [m.ulid, m.deletionTimeS]));
    const retention = this.limits.retentionMs(tenant);
    if (retention > 0) {
      const over = index.blocks.filter((b) => b.maxTimeMs < now - retention && !marked.has(b.ulid));
      this.base.metrics
        .gauge(
          "cinderblock_compactor_retention_dry_run_blocks",
          "Blocks beyond their retention period in the last dry-run pass.",
          ["user"],
        )
        .set({ user: tenant }, this.config.retentionDryRun ? over.length : 0);
      for (const b of over) {
        if (this.config.retentionDryRun) {
          this.base.log.info({ tenant, blockId: b.ulid }, "block would be deleted by retention (dry run)");
          continue;
        }
        await this.mark(
          tenant,
          b.ulid,
          "retention",
          `block exceeding retention of ${Math.round(retention / 1000)}s`,
        );
        marked.set(b.ulid, Math.floor(now / 1000));
      }
    }
    for (const [ulid, markedS] of marked)
      if (now - markedS * 1000 > this.config.deletionDelayMs) await this.remove(tenant, ulid);
    await this.cleanPartial(tenant, new Set(index.blocks.map((b) => b.ulid)), marked);
    const after = await this.index.updateTenant(tenant);
    if (this.config.removeEmptyTenants && (!after || after.blocks.length === 0))
      for (const name of [
        `${prefix}bucket-index.json.gz`,
        ...(await listAll(this.bucket, `${prefix}markers/`)),
      ])
        await this.bucket.delete(name);
  }

  private async mark(tenant: string, ulid: string, reason: string, details: string): Promise<void> {
    await markForDeletion(this.bucket, tenant, ulid, details, this.base.now());
    this.base.metrics
      .counter("pyroscope_compactor_blocks_marked_for_deletion_total", "Blocks marked for deletion.", [
        "reason",
      ])
      .inc({ reason });
    this.base.log.info({ tenant, blockId: ulid, reason }, "block marked for deletion");
  }

  private async remove(tenant: string, ulid: string): Promise<void> {
    await deleteBlock(this.bucket, tenant, ulid);
    this.base.metrics.counter("pyroscope_compactor_blocks_cleaned_total", "Blocks deleted.").inc();
    this.base.log.info({ tenant, blockId: ulid }, "block deleted");
  }

  /** Deletes partial blocks with a mark, and marks stale ones. The others may still be uploading. */
  private async cleanPartial(
    tenant: string,
    whole: ReadonlySet<string>,
    marked: ReadonlyMap<string, number>,
  ): Promise<void> {
    const prefix = blocksPrefix(tenant);
    const delay = this.limits.partialBlockDeletionDelayMs(tenant);
    for (const name of await this.bucket.list(prefix)) {
      const ulid = name.slice(prefix.length).replace(/\/$/, "");
      if (!isUlid(ulid) || whole.has(ulid) || (await this.bucket.exists(`${prefix}${ulid}/meta.json`)))
        continue;
      if (marked.has(ulid) || (await this.bucket.exists(`${prefix}${ulid}/deletion-mark.json`))) {
        await this.remove(tenant, ulid);
        continue;
      }
      if (delay < LEAST_PARTIAL_DELAY_MS) continue;
      let newest = 0;
      for (const object of await listAll(this.bucket, `${prefix}${ulid}/`))
        newest = Math.max(newest, (await this.bucket.attributes(object)).lastModifiedMs);
      if (newest > 0 && this.base.now() - newest > delay)
        await this.mark(tenant, ulid, "partial", "stale partial block");
    }
  }

  /** Deletes the index and blocks of a marked tenant; later its markers. @returns whether there is a mark */
  private async deleteTenant(tenant: string): Promise<boolean> {
    const name = tenantMarkName(tenant);
    let mark;
    try {
      mark = decodeTenantDeletionMark(await this.bucket.get(name));
    } catch (err) {
      if (err instanceof CinderblockError && err.kind === "not-found") return false;
      throw err;
    }
    const prefix = blocksPrefix(tenant);
    // Record the deletion first: a returning ingester must not upload the data again after the mark is gone.
    if (mark.finishedTimeS === 0) await recordTenantDeletion(this.bucket, tenant, this.base.now());
    await this.bucket.delete(`${prefix}bucket-index.json.gz`);
    let deleted = 0;
    for (const n of await this.bucket.list(prefix)) {
      const ulid = n.slice(prefix.length).replace(/\/$/, "");
      if (isUlid(ulid)) {
        await this.remove(tenant, ulid);
        deleted++;
      }
    }
    const now = this.base.now();
    if (deleted > 0 || mark.finishedTimeS === 0) {
      await this.bucket.put(
        name,
        Buffer.from(encodeTenantDeletionMark({ ...mark, finishedTimeS: Math.floor(now / 1000) })),
      );
      return true;
    }
    if (now - mark.finishedTimeS * 1000 > this.config.deletionDelayMs) {
      // Record the deletion again with the current time: it also covers data that arrived while the tenant
      // was marked.
      await recordTenantDeletion(this.bucket, tenant, now);
      for (const n of await listAll(this.bucket, `${prefix}markers/`)) await this.bucket.delete(n);
    }
    return true;
  }
}
