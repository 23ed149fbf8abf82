import { hostname } from "node:os";
import { Semaphore, withTimeLimit } from "@cinderblock/async";
import { type BlockMeta, decodeMeta, LABEL_HOSTNAME, newUlid, ulidTimeMs } from "@cinderblock/block-meta";
import { blocksPrefix, uploadBlock } from "@cinderblock/compact";
import { CinderblockError, kindOf } from "@cinderblock/errors";
import { crashPoint, isNoSpace } from "@cinderblock/files";
import type { Bucket } from "@cinderblock/objstore";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { LocalBlocks } from "./local-blocks.ts";

/** Whether two metas with one ID describe the same rows and files. */
function sameContent(stored: BlockMeta | null, own: BlockMeta): boolean {
  if (stored === null) return false;
  const facts = (m: BlockMeta): string =>
    JSON.stringify([
      m.minTimeMs,
      m.maxTimeMs,
      m.stats.numProfiles,
      m.stats.numSamples,
      m.stats.numSeries,
      m.files.map((f) => `${f.relPath} ${f.sizeBytes}`).sort(),
    ]);
  return facts(stored) === facts(own);
}

/** Maximum concurrent uploads: a stalled upload occupies one slot, and the others continue. */
const AT_ONCE = 4;
/** Deadline of one pass; each upload has its own deadline. */
const PASS_MS = 1800_000;

/** Uploads finished blocks: every listed file, then `meta.json` with the hostname label. */
export class Shipper implements Service {
  readonly name = "shipper";
  private readonly loop;
  private stopped = false;
  private readonly slots = new Semaphore(AT_ONCE);
  /** uploads that wait or run, keyed by tenant and block ID */
  private readonly uploading = new Map<string, Promise<void>>();
  /** whether a block must not be uploaded because its tenant is deleted */
  skips: (tenant: string, ulid: string) => boolean = () => false;
  /** runs before each pass that has blocks to upload; updates the result of `skips` */
  beforePass: () => Promise<void> = () => Promise.resolve();
  /** makes room for an upload to a bucket on a full disk; true: retry the upload at once */
  makeRoom: () => boolean = () => false;
  private readonly blocks: LocalBlocks;
  private readonly bucket: Bucket;
  private readonly onShipped: (tenant: string, meta: BlockMeta) => void;
  private readonly base: Base;
  private readonly shutdownTimeoutMs: number;
  private readonly uploads: { inc(): void };
  private readonly failures: { inc(): void };
  private readonly collisions: { inc(n?: number): void };

  constructor(
    blocks: LocalBlocks,
    bucket: Bucket,
    intervalMs: number,
    onShipped: (tenant: string, meta: BlockMeta) => void,
    base: Base,
    shutdownTimeoutMs: number,
  ) {
    this.shutdownTimeoutMs = shutdownTimeoutMs;
    this.blocks = blocks;
    this.bucket = bucket;
    this.onShipped = onShipped;
    this.base = base;
    this.loop = periodic(
      { name: "shipper", everyMs: intervalMs, firstMs: 0, deadlineMs: PASS_MS },
      () => this.sync(),
      base,
    );
    this.uploads = base.metrics.counter("pyroscope_shipper_uploads_total", "Blocks uploaded.");
    this.collisions = base.metrics.counter(
      "cinderblock_shipper_block_id_collisions_total",
      "Local blocks uploaded under a new ID because the bucket has a different block with their ID.",
    );
    this.collisions.inc(0);
    this.failures = base.metrics.counter(
      "pyroscope_shipper_upload_failures_total",
      "Failed block uploads; they are retried.",
    );
  }

  start(): Promise<void> {
    this.loop.start();
    return Promise.resolve();
  }

  /**
   * Uploads the local blocks; resolves when each upload has succeeded or failed. Calls may overlap: they wait
   * for a block in progress without uploading it twice (docs/correctness.md, "Every wait has a deadline").
   */
  async sync(): Promise<void> {
    this.base.metrics
      .counter("pyroscope_shipper_dir_syncs_total", "Upload passes over the local blocks.")
      .inc();
    if (this.blocks.unshippedBlocks().length > 0) await this.beforePass();
    for (const { tenant, meta } of this.blocks.unshippedBlocks()) {
      const key = `${tenant}/${meta.ulid}`;
      if (this.uploading.has(key) || this.skips(tenant, meta.ulid)) continue;
      this.uploading.set(
        key,
        this.slots.run(() => this.ship(tenant, meta)).finally(() => this.uploading.delete(key)),
      );
    }
    await Promise.all(this.uploading.values());
  }

  /** Uploads a block; counts a failure and leaves the block to the next pass. */
  private async ship(tenant: string, meta: BlockMeta): Promise<void> {
    const { log } = this.base;
    // Check again: a deletion may have come while this upload waited for its slot.
    if (this.stopped || this.skips(tenant, meta.ulid)) return;
    try {
      const shipped = await this.upload(tenant, meta).catch((err: unknown) => {
        if (!isNoSpace(err) || !this.makeRoom()) throw err;
        log.warn(
          { tenant, blockId: meta.ulid, err },
          "bucket has no space, retrying the upload after the ballast is deleted",
        );
        // The first try may have renamed the block: then its old ID is gone.
        return this.blocks.has(tenant, meta.ulid) ? this.upload(tenant, meta) : Promise.reject(err as Error);
      });
      this.blocks.markUploaded(tenant, shipped.ulid);
      crashPoint("ship/marked-as-uploaded");
      this.uploads.inc();
      log.info(
        { tenant, blockId: shipped.ulid, sizeBytes: meta.files.reduce((s, f) => s + f.sizeBytes, 0) },
        "block uploaded",
      );
      this.onShipped(tenant, shipped);
    } catch (err) {
      this.failures.inc();
      log.warn({ tenant, blockId: meta.ulid, err }, "block upload failed, retrying");
    }
  }

  /**
   * Uploads a block unless the bucket has it. An existing ID is no proof: a block with other content is
   * uploaded under a new ID (docs/correctness.md, "A name is not proof of content"). Returns the meta of the
   * block in the bucket.
   */
  private async upload(tenant: string, meta: BlockMeta): Promise<BlockMeta> {
    const stored = await this.storedMeta(tenant, meta.ulid);
    if (stored !== undefined && sameContent(stored, meta)) return meta;
    let own = meta;
    if (stored !== undefined) {
      own = this.blocks.rename(tenant, meta.ulid, newUlid(ulidTimeMs(meta.ulid)));
      this.collisions.inc();
      this.base.log.error(
        { tenant, blockId: meta.ulid, newBlockId: own.ulid },
        "bucket has a different block with this ID, uploading under a new ID",
      );
    }
    const renamed = `${tenant}/${own.ulid}`,
      running = this.uploading.get(`${tenant}/${meta.ulid}`);
    if (own !== meta && running !== undefined)
      this.uploading.set(
        renamed,
        running.finally(() => this.uploading.delete(renamed)),
      );
    await uploadBlock(this.bucket, tenant, this.blocks.path(tenant, own.ulid), {
      ...own,
      source: own.source || "ingester",
      labels: { ...own.labels, [LABEL_HOSTNAME]: hostname() },
    });
    return own;
  }

  /** The block's meta in the bucket; `null` for a meta that cannot be read, which proves nothing. */
  private async storedMeta(tenant: string, ulid: string): Promise<BlockMeta | null | undefined> {
    const name = `${blocksPrefix(tenant)}${ulid}/meta.json`;
    let bytes: Uint8Array;
    try {
      bytes = await this.bucket.get(name);
    } catch (err) {
      if (kindOf(err) === "not-found") return undefined;
      throw err;
    }
    try {
      return decodeMeta(bytes, `${ulid}/meta.json`);
    } catch (err) {
      if (kindOf(err) === "corrupt") return null;
      throw err;
    }
  }

  /** Uploads the last blocks within the shutdown timeout; the others stay on disk for the next start. */
  async stop(): Promise<void> {
    await this.loop.stop(0);
    const late = (): Error =>
      new CinderblockError(
        "deadline",
        `uploads did not finish within -server.graceful-shutdown-timeout (${this.shutdownTimeoutMs} ms)`,
      );
    try {
      await withTimeLimit(this.shutdownTimeoutMs, this.sync(), late);
    } catch (err) {
      this.base.log.warn(
        { err, blocks: this.blocks.unshippedBlocks().length },
        "shutdown with blocks waiting for upload; the next start uploads them",
      );
    } finally {
      this.stopped = true;
    }
  }
}
