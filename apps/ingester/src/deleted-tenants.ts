import { ulidTimeMs } from "@cinderblock/block-meta";
import { tenantDeletions, tenantMarkName } from "@cinderblock/compact";
import type { Bucket } from "@cinderblock/objstore";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { Ingester } from "./ingester.ts";

/** Maximum age of a pass that an upload may rely on. */
const FRESH_MS = 10_000;
/** Deadline of one pass. */
const PASS_MS = 600_000;

/**
 * Drops an ingester's data of deleted tenants: all heads and local blocks while the tenant has a deletion
 * mark, and later the heads and blocks from before the recorded deletion
 * (docs/correctness.md, "Deleted stays deleted"). The compactor deletes the tenant's blocks in the bucket.
 */
export class DeletedTenants implements Service {
  readonly name = "deleted-tenants";
  private readonly loop;
  private running: Promise<void> | undefined;
  private marked: ReadonlySet<string> = new Set();
  /** tenant -> time of its last deletion in ms; undefined: not read yet */
  private deletions: ReadonlyMap<string, number> | undefined;
  private lookedMs = -Infinity;
  private readonly ingester: Ingester;
  private readonly bucket: Bucket;
  private readonly intervalMs: number;
  private readonly base: Base;
  private readonly dropped: { inc(n?: number): void };

  constructor(ingester: Ingester, bucket: Bucket, intervalMs: number, base: Base) {
    this.ingester = ingester;
    this.bucket = bucket;
    this.intervalMs = intervalMs;
    this.base = base;
    this.loop = periodic(
      { name: "deleted-tenants", everyMs: intervalMs, deadlineMs: PASS_MS },
      () => this.runPass(),
      base,
    );
    this.dropped = base.metrics.counter(
      "cinderblock_ingester_deleted_tenant_blocks_total",
      "Heads and local blocks dropped because their tenant is marked for deletion.",
    );
  }

  /**
   * Whether a block must not be uploaded: its tenant has a mark or was deleted after the block's head began,
   * or the deletions are not read yet.
   */
  covers(tenant: string, ulid: string): boolean {
    return (
      this.deletions === undefined ||
      this.marked.has(tenant) ||
      ulidTimeMs(ulid) <= (this.deletions.get(tenant) ?? -1)
    );
  }

  /** Whether a deletion covers data that was received at a time. */
  deletedAt(tenant: string, receivedMs: number): boolean {
    return receivedMs <= (this.deletions?.get(tenant) ?? -1);
  }

  /** Runs a pass unless the last one is recent; called before each pass of uploads. */
  async refreshIfStale(): Promise<void> {
    if (this.base.now() - this.lookedMs >= Math.min(FRESH_MS, this.intervalMs)) await this.runPass();
  }

  start(): Promise<void> {
    this.loop.start();
    return this.runPass();
  }

  runPass(): Promise<void> {
    this.running ??= this.pass()
      .catch((err: unknown) => this.base.log.warn({ err }, "listing tenant deletion marks failed, retrying"))
      .finally(() => {
        this.running = undefined;
      });
    return this.running;
  }

  private async pass(): Promise<void> {
    const atMs = this.base.now(),
      deletions = await tenantDeletions(this.bucket);
    const marked = new Set<string>();
    for (const tenant of await this.ingester.tenants())
      if (await this.bucket.exists(tenantMarkName(tenant))) marked.add(tenant);
    // Set this before heads become blocks: the shipper must not upload those.
    this.marked = marked;
    this.deletions = deletions;
    this.lookedMs = atMs;
    for (const [tenant, deletedMs] of deletions) {
      if (marked.has(tenant)) continue;
      const n = await this.ingester.dropTenantBefore(tenant, deletedMs);
      if (n === 0) continue;
      this.dropped.inc(n);
      this.base.log.info(
        { tenant, blocks: n, deletedMs },
        "heads and local blocks from before the tenant's deletion dropped",
      );
    }
    for (const tenant of marked) {
      const n = await this.ingester.dropTenant(tenant);
      if (n > 0) {
        this.dropped.inc(n);
        this.base.log.info(
          { tenant, blocks: n },
          "tenant is marked for deletion, dropping its heads and local blocks",
        );
      }
    }
  }

  async stop(): Promise<void> {
    await this.loop.stop();
    await this.running;
  }
}
