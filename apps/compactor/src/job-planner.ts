import {
  type BlockMeta,
  decodeMeta,
  isUlid,
  ulidOfDeletionMark,
  ulidOfNoCompactMark,
} from "@cinderblock/block-meta";
import {
  blocksPrefix,
  type CompactionJob,
  outdatedBlocks,
  planJobs,
  tenantMarkName,
} from "@cinderblock/compact";
import { CinderblockError } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import type { Base } from "@cinderblock/telemetry";
import type { BlockPublisher } from "./block-publisher.ts";
import type { CompactorConfig } from "./compactor-config.ts";
import type { CompactorLimits } from "./limits.ts";
import type { UploadedBlock } from "./rewriter.ts";

/** Plans the due jobs of a tenant from the blocks in the bucket. */
export class JobPlanner {
  private readonly metas = new Map<string, Map<string, UploadedBlock>>();
  private readonly bucket: Bucket;
  private readonly publisher: BlockPublisher;
  private readonly config: CompactorConfig;
  private readonly limits: CompactorLimits;
  private readonly base: Base;

  constructor(
    bucket: Bucket,
    publisher: BlockPublisher,
    config: CompactorConfig,
    limits: CompactorLimits,
    base: Base,
  ) {
    this.bucket = bucket;
    this.publisher = publisher;
    this.config = config;
    this.limits = limits;
    this.base = base;
  }

  /** The due jobs, in the order of execution. Marks blocks that an interrupted compaction left behind. */
  async dueJobs(tenant: string): Promise<CompactionJob[]> {
    if (await this.bucket.exists(tenantMarkName(tenant))) return [];
    const known = await this.compactableBlocks(tenant);
    for (const m of outdatedBlocks([...known.values()].map((k) => k.meta))) {
      await this.publisher.markForDeletion(tenant, [m], "outdated block", "outdated");
      known.delete(m.ulid);
    }
    const now = this.base.now();
    const jobs = planJobs(
      [...known.values()].map((k) => k.meta),
      {
        rangesMs: this.config.rangesMs,
        shards: this.limits.splitShards(tenant),
        splitGroups: this.limits.splitGroups(tenant),
      },
    ).filter(
      (j) =>
        Math.min(...j.blocks.map((b) => b.compaction.level)) > 1 ||
        j.blocks.every((b) => now - known.get(b.ulid)!.uploadedMs >= this.config.firstLevelWaitMs),
    );
    const newest = (blocks: readonly BlockMeta[]): number => Math.max(...blocks.map((m) => m.maxTimeMs));
    if (this.config.jobsOrder === "newest-blocks-first")
      jobs.sort((a, b) => newest(b.blocks) - newest(a.blocks));
    return jobs;
  }

  /** Complete blocks without a deletion or no-compact mark. Metas never change, so each is read once. */
  async compactableBlocks(tenant: string): Promise<Map<string, UploadedBlock>> {
    const prefix = blocksPrefix(tenant);
    const left = new Set<string>();
    for (const n of await this.bucket.list(`${prefix}markers/`)) {
      const name = n.slice(`${prefix}markers/`.length);
      const ulid = ulidOfDeletionMark(name) ?? ulidOfNoCompactMark(name);
      if (ulid) left.add(ulid);
    }
    const old = this.metas.get(tenant) ?? new Map<string, UploadedBlock>();
    const next = new Map<string, UploadedBlock>();
    for (const n of await this.bucket.list(prefix)) {
      const ulid = n.slice(prefix.length).replace(/\/$/, "");
      if (!isUlid(ulid) || left.has(ulid)) continue;
      const known = old.get(ulid) ?? (await this.read(tenant, ulid));
      if (known) next.set(ulid, known);
    }
    this.metas.set(tenant, next);
    return new Map(next);
  }

  /** Reads a block's meta; undefined for a partial block or a damaged meta, which the bucket index reports. */
  private async read(tenant: string, ulid: string): Promise<UploadedBlock | undefined> {
    const name = `${blocksPrefix(tenant)}${ulid}/meta.json`;
    try {
      return {
        meta: decodeMeta(await this.bucket.get(name), `${ulid}/meta.json`),
        uploadedMs: (await this.bucket.attributes(name)).lastModifiedMs,
      };
    } catch (err) {
      if (!(err instanceof CinderblockError)) throw err;
      if (err.kind !== "not-found" && err.kind !== "corrupt") throw err;
      return undefined;
    }
  }
}
