import { hostname } from "node:os";
import { type BlockMeta, LABEL_HOSTNAME } from "@cinderblock/block-meta";
import { blocksPrefix, uploadBlock } from "@cinderblock/compact";
import type { Bucket } from "@cinderblock/objstore";
import type { Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { LocalBlocks } from "./local-blocks.ts";

/** Uploads finished blocks: every file of the list, then `meta.json` with the hostname label. */
export class Shipper implements Service {
  readonly name = "shipper";
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private again = false;
  /** blocks that must not be shipped: their tenant is deleted */
  skips: (tenant: string, ulid: string) => boolean = () => false;
  /** runs before each pass with blocks to ship: brings `skips` up to date */
  beforePass: () => Promise<void> = () => Promise.resolve();
  private readonly blocks: LocalBlocks;
  private readonly bucket: Bucket;
  private readonly intervalMs: number;
  private readonly onShipped: (tenant: string, meta: BlockMeta) => void;
  private readonly base: Base;
  private readonly uploads: { inc(): void };
  private readonly failures: { inc(): void };

  constructor(
    blocks: LocalBlocks,
    bucket: Bucket,
    intervalMs: number,
    onShipped: (tenant: string, meta: BlockMeta) => void,
    base: Base,
  ) {
    this.blocks = blocks;
    this.bucket = bucket;
    this.intervalMs = intervalMs;
    this.onShipped = onShipped;
    this.base = base;
    this.uploads = base.metrics.counter("pyroscope_shipper_uploads_total", "Blocks uploaded.");
    this.failures = base.metrics.counter(
      "pyroscope_shipper_upload_failures_total",
      "Blocks that could not be uploaded; they are tried again.",
    );
  }

  start(): Promise<void> {
    this.timer = setInterval(() => {
      void this.sync();
    }, this.intervalMs);
    this.timer.unref();
    void this.sync();
    return Promise.resolve();
  }

  /** Ships what is there; calls while it runs make it look again. */
  sync(): Promise<void> {
    if (this.running) {
      this.again = true;
      return this.running;
    }
    this.running = this.pass().finally(() => {
      this.running = undefined;
      if (this.again) {
        this.again = false;
        void this.sync();
      }
    });
    return this.running;
  }

  private async pass(): Promise<void> {
    const { metrics, log } = this.base;
    metrics.counter("pyroscope_shipper_dir_syncs_total", "Passes over the local blocks.").inc();
    if (this.blocks.unshipped().length > 0) await this.beforePass();
    for (const { tenant, meta } of this.blocks.unshipped()) {
      if (this.skips(tenant, meta.ulid)) continue;
      try {
        await this.upload(tenant, meta);
        this.blocks.markUploaded(tenant, meta.ulid);
        this.uploads.inc();
        log.info(
          { tenant, blockId: meta.ulid, sizeBytes: meta.files.reduce((s, f) => s + f.sizeBytes, 0) },
          "block uploaded",
        );
        this.onShipped(tenant, meta);
      } catch (err) {
        this.failures.inc();
        log.warn({ tenant, blockId: meta.ulid, err }, "block could not be uploaded, it will be tried again");
      }
    }
  }

  private async upload(tenant: string, meta: BlockMeta): Promise<void> {
    if (await this.bucket.exists(`${blocksPrefix(tenant)}${meta.ulid}/meta.json`)) return;
    await uploadBlock(this.bucket, tenant, this.blocks.path(tenant, meta.ulid), {
      ...meta,
      source: meta.source || "ingester",
      labels: { ...meta.labels, [LABEL_HOSTNAME]: hostname() },
    });
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.sync();
  }
}
