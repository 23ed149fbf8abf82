import { tenantMarkName } from "@cinderblock/compact";
import type { Bucket } from "@cinderblock/objstore";
import type { Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { Ingester } from "./ingester.ts";

/**
 * Drops what an ingester holds of tenants with a deletion mark: heads and local blocks, for as long as the mark stays
 * (docs/correctness.md, "Deleted stays deleted"). The compactor deletes what is in the bucket.
 */
export class DeletedTenants implements Service {
  readonly name = "deleted-tenants";
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private marked: ReadonlySet<string> = new Set();
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
    this.dropped = base.metrics.counter(
      "cinderblock_ingester_deleted_tenant_blocks_total",
      "Heads and local blocks that were dropped because their tenant is marked for deletion.",
    );
  }

  /** Whether a tenant had a mark when they were last looked for. */
  has(tenant: string): boolean {
    return this.marked.has(tenant);
  }

  start(): Promise<void> {
    this.timer = setInterval(() => {
      void this.look();
    }, this.intervalMs);
    this.timer.unref();
    return this.look();
  }

  look(): Promise<void> {
    this.running ??= this.pass()
      .catch((err: unknown) =>
        this.base.log.warn(
          { err },
          "deletion marks of tenants could not be looked for, it will be tried again",
        ),
      )
      .finally(() => {
        this.running = undefined;
      });
    return this.running;
  }

  private async pass(): Promise<void> {
    const marked = new Set<string>();
    for (const tenant of await this.ingester.tenants())
      if (await this.bucket.exists(tenantMarkName(tenant))) marked.add(tenant);
    this.marked = marked; // before heads become blocks: they are not to be shipped
    for (const tenant of marked) {
      const n = await this.ingester.drop(tenant);
      if (n > 0) {
        this.dropped.inc(n);
        this.base.log.info(
          { tenant, blocks: n },
          "tenant is marked for deletion, its heads and local blocks are dropped",
        );
      }
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.running;
  }
}
