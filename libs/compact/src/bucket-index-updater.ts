import {
  type BlockMeta,
  BUCKET_INDEX_VERSION,
  type BucketIndex,
  decodeBucketIndex,
  decodeDeletionMark,
  decodeMeta,
  encodeBucketIndex,
  isUlid,
  LABEL_SHARD,
  ulidOfDeletionMark,
} from "@cinderblock/block-meta";
import { CinderblockError } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import type { Base } from "@cinderblock/telemetry";
import { tenantsIn } from "./marks.ts";
import { findForeignObjects, type Anomaly } from "./anomalies.ts";

/**
 * Writes `bucket-index.json.gz`: the complete blocks of a tenant, and their marks. Updates of one tenant run
 * one after the other, so that an older list never replaces a newer one. Among processes, only the compactor
 * that owns the tenant updates. An entry that is lost when the owner changes returns with the next update,
 * and store-gateways list the bucket anyway.
 */
export class BucketIndexUpdater {
  private readonly bucket: Bucket;
  private readonly base: Base;
  /** tenant -> anomalies that were logged */
  private readonly named = new Map<string, Set<string>>();
  constructor(bucket: Bucket, base: Base) {
    this.bucket = bucket;
    this.base = base;
  }

  tenants(): Promise<string[]> {
    return tenantsIn(this.bucket);
  }

  /** tenant -> its last update */
  private readonly updates = new Map<string, Promise<unknown>>();

  updateTenant(tenant: string): Promise<BucketIndex | undefined> {
    const before = this.updates.get(tenant) ?? Promise.resolve();
    const next = before
      .catch(() => undefined) // the caller of the previous update handles its failure
      .then(() => this.update(tenant))
      .finally(() => {
        if (this.updates.get(tenant) === next) this.updates.delete(tenant);
      });
    this.updates.set(tenant, next);
    return next;
  }

  /**
   * Keeps the entries of existing blocks, reads the metas of new ones, and lists the marks. Returns undefined
   * if the tenant has no blocks.
   */
  private async update(tenant: string): Promise<BucketIndex | undefined> {
    const prefix = `${tenant}/phlaredb/`;
    const names = await this.bucket.list(prefix);
    const ulids = names.map((n) => n.slice(prefix.length).replace(/\/$/, "")).filter(isUlid);
    if (ulids.length === 0 && !names.includes(`${prefix}bucket-index.json.gz`)) return undefined;
    const old = await this.readOld(`${prefix}bucket-index.json.gz`);
    const known = new Map(old.blocks.map((b) => [b.ulid, b]));
    const index: BucketIndex = {
      version: BUCKET_INDEX_VERSION,
      blocks: [],
      marks: [],
      updatedAtS: Math.floor(this.base.now() / 1000),
    };
    const odd = findForeignObjects(prefix, names);
    for (const ulid of ulids) {
      const entry = known.get(ulid);
      if (entry) {
        index.blocks.push(entry);
        continue;
      }
      const name = `${prefix}${ulid}/meta.json`;
      let meta: BlockMeta;
      try {
        meta = decodeMeta(await this.bucket.get(name), `${ulid}/meta.json`);
      } catch (err) {
        if (!(err instanceof CinderblockError) || (err.kind !== "not-found" && err.kind !== "corrupt"))
          throw err;
        odd.push(
          err.kind === "corrupt"
            ? { kind: "damaged-meta", name: `${prefix}${ulid}/`, why: err.message }
            : { kind: "partial-block", name: `${prefix}${ulid}/`, why: "no meta.json" },
        );
        continue;
      }
      const { lastModifiedMs } = await this.bucket.attributes(name);
      index.blocks.push({
        ulid,
        minTimeMs: meta.minTimeMs,
        maxTimeMs: meta.maxTimeMs,
        uploadedAtS: Math.floor(lastModifiedMs / 1000),
        shardId: meta.labels[LABEL_SHARD] ?? "",
        level: meta.compaction.level,
      });
    }
    const knownMarks = new Map(old.marks.map((m) => [m.ulid, m]));
    for (const name of await this.bucket.list(`${prefix}markers/`)) {
      const ulid = ulidOfDeletionMark(name.slice(`${prefix}markers/`.length));
      if (ulid === undefined) continue;
      const mark = knownMarks.get(ulid);
      if (mark) {
        index.marks.push(mark);
        continue;
      }
      try {
        index.marks.push({
          ulid,
          deletionTimeS: decodeDeletionMark(await this.bucket.get(`${prefix}${ulid}/deletion-mark.json`))
            .deletionTimeS,
        });
      } catch (err) {
        if (!(err instanceof CinderblockError) || err.kind === "unavailable") throw err;
      } // a mark without the file in the block's folder does not count
    }
    this.report(tenant, odd);
    await this.bucket.put(`${prefix}bucket-index.json.gz`, encodeBucketIndex(index));
    this.base.metrics
      .gauge(
        "pyroscope_bucket_index_last_successful_update_timestamp_seconds",
        "Unix time of the last write of the bucket index.",
        ["user"],
      )
      .set({ user: tenant }, index.updatedAtS);
    this.base.metrics
      .gauge("pyroscope_bucket_blocks_count", "Number of blocks per tenant.", ["user"])
      .set({ user: tenant }, index.blocks.length);
    this.base.metrics
      .gauge(
        "pyroscope_bucket_blocks_marked_for_deletion_count",
        "Number of blocks per tenant that are marked for deletion.",
        ["user"],
      )
      .set({ user: tenant }, index.marks.length);
    return index;
  }

  /** Reports anomalies in the bucket, which stop no operation: counts all of them, and logs each once. */
  private report(tenant: string, odd: readonly Anomaly[]): void {
    const { metrics, log } = this.base;
    const count = (kind: Anomaly["kind"]): number => odd.filter((o) => o.kind === kind).length;
    metrics
      .gauge("pyroscope_bucket_blocks_partials_count", "Number of partial blocks, which have no meta.json.", [
        "user",
      ])
      .set({ user: tenant }, count("partial-block"));
    metrics
      .gauge("cinderblock_bucket_damaged_metas", "Number of blocks with an unreadable meta.json.", ["user"])
      .set({ user: tenant }, count("damaged-meta"));
    metrics
      .gauge(
        "cinderblock_bucket_foreign_objects",
        "Number of objects below the blocks prefix that do not belong to a block.",
        ["user"],
      )
      .set({ user: tenant }, count("foreign-object"));
    const named = this.named.get(tenant) ?? new Set<string>();
    for (const o of odd)
      if (!named.has(o.name))
        log[o.kind === "partial-block" ? "info" : "warn"](
          { tenant, name: o.name, kind: o.kind, reason: o.why },
          "bucket contains an incomplete block or an unknown object",
        );
    this.named.set(tenant, new Set(odd.map((o) => o.name)));
  }

  private async readOld(name: string): Promise<BucketIndex> {
    try {
      const index = decodeBucketIndex(await this.bucket.get(name));
      if (index.version === BUCKET_INDEX_VERSION) return index;
    } catch (err) {
      if (!(err instanceof CinderblockError) || err.kind === "unavailable") throw err;
    } // missing or damaged: rebuild the index
    return { version: BUCKET_INDEX_VERSION, blocks: [], marks: [], updatedAtS: 0 };
  }
}
