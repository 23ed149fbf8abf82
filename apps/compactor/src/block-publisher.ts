import { type BlockMeta, encodeMeta, LABEL_HOSTNAME } from "@cinderblock/block-meta";
import { blocksPrefix, markForDeletion, markNoCompact } from "@cinderblock/compact";
import { CinderblockError } from "@cinderblock/errors";
import { crashPoint } from "@cinderblock/files";
import type { Bucket } from "@cinderblock/objstore";
import type { Base } from "@cinderblock/telemetry";
import { pathBelow } from "@cinderblock/tenant";
import type { CompactAnswer } from "./protocol.ts";

/**
 * Called when the output blocks of a job are in the bucket, before the input blocks are marked for deletion.
 */
export type CompactionListener = (
  tenant: string,
  outputs: readonly BlockMeta[],
  inputs: readonly BlockMeta[],
) => Promise<void>;

/** Reason to exclude an unreadable block from compactions, in v1's words. */
const SET_ASIDE = "block-index-out-of-order-chunk";

/** Writes the results of jobs to the bucket: outputs, then the marks of their inputs. */
export class BlockPublisher {
  private readonly bucket: Bucket;
  private readonly hostname: string;
  private readonly announce: CompactionListener;
  private readonly base: Base;
  private readonly unreadable: { inc(labels: { reason: string }, n?: number): void };

  /** @param hostname name of this process in the metas of its outputs */
  constructor(bucket: Bucket, hostname: string, announce: CompactionListener, base: Base) {
    this.bucket = bucket;
    this.hostname = hostname;
    this.announce = announce;
    this.base = base;
    // Create the counter at the start with 0, so that an alert sees its first increment.
    this.unreadable = base.metrics.counter(
      "pyroscope_compactor_blocks_marked_for_no_compaction_total",
      "Blocks excluded from compaction.",
      ["reason"],
    );
    this.unreadable.inc({ reason: SET_ASIDE }, 0);
  }

  /** Uploads files, then metas; checks the metas and announces the outputs before the inputs may go. */
  async publish(
    tenant: string,
    outputs: CompactAnswer["outputs"],
    inputs: readonly BlockMeta[],
  ): Promise<void> {
    const prefix = blocksPrefix(tenant);
    for (const o of outputs)
      for (const f of o.meta.files)
        await this.bucket.putFile(
          `${prefix}${o.meta.ulid}/${f.relPath}`,
          pathBelow(o.dir, ...f.relPath.split("/")),
        );
    crashPoint("compact/files-uploaded");
    for (const o of outputs) {
      await this.bucket.put(
        `${prefix}${o.meta.ulid}/meta.json`,
        Buffer.from(encodeMeta({ ...o.meta, labels: { ...o.meta.labels, [LABEL_HOSTNAME]: this.hostname } })),
      );
      crashPoint("compact/first-meta-uploaded");
    }
    for (const o of outputs)
      if (!(await this.bucket.exists(`${prefix}${o.meta.ulid}/meta.json`)))
        throw new CinderblockError(
          "unavailable",
          `block ${o.meta.ulid} was uploaded but is missing from the bucket`,
        );
    await this.announce(
      tenant,
      outputs.map((o) => o.meta),
      inputs,
    );
  }

  /** Marks blocks for deletion. @param reason label of the metric */
  async markForDeletion(
    tenant: string,
    blocks: readonly BlockMeta[],
    details: string,
    reason: string,
  ): Promise<void> {
    for (const b of blocks) {
      await markForDeletion(this.bucket, tenant, b.ulid, details, this.base.now());
      crashPoint("compact/first-source-marked");
    }
    this.base.metrics
      .counter("pyroscope_compactor_blocks_marked_for_deletion_total", "Blocks marked for deletion.", [
        "reason",
      ])
      .inc({ reason }, blocks.length);
  }

  /** Excludes a damaged block from compactions, and leaves it unchanged. */
  async excludeFromCompaction(tenant: string, block: BlockMeta, why: string): Promise<void> {
    await markNoCompact(this.bucket, tenant, block.ulid, why.slice(0, 500), this.base.now());
    this.unreadable.inc({ reason: SET_ASIDE });
    this.base.log.error(
      { tenant, blockId: block.ulid, reason: why },
      "block is damaged, excluding it from compaction",
    );
  }
}
