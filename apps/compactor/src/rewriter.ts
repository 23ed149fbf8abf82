import { type BlockMeta } from "@cinderblock/block-meta";
import {
  type DeletionRequest,
  deletionRequests,
  type RowSelection,
  saveDeletion,
} from "@cinderblock/compact";
import type { Bucket } from "@cinderblock/objstore";
import type { Base } from "@cinderblock/telemetry";
import type { CompactorLimits } from "./limits.ts";

export interface RewriterConfig {
  /**
   * minimum age of a level-1 block before its rows are removed: ingesters may still have a copy of newer ones
   */
  firstLevelWaitMs: number;
  /** count the profiles that retention rules would remove, without removing them */
  retentionDryRun: boolean;
}

/** The reads and writes of blocks, which the compactor runs in a thread. */
export interface RewriteWork {
  countDropped(
    tenant: string,
    blocks: readonly BlockMeta[],
    drops: readonly (readonly RowSelection[])[],
  ): Promise<number[][]>;
  /** rewrites and uploads the block, announces the result, calls `commit` with its ULID, marks the block */
  rewrite(
    tenant: string,
    block: BlockMeta,
    drops: readonly RowSelection[],
    reason: string,
    commit: (replacement: string) => Promise<void>,
  ): Promise<void>;
}

/** A reason to drop rows: a deletion request, or a retention rule of the tenant. */
interface Cause {
  key: string;
  drop: RowSelection;
  request: DeletionRequest | undefined;
}

export interface UploadedBlock {
  meta: BlockMeta;
  uploadedMs: number;
}

/** Upper bound for clock differences between bucket and compactors; blocks within it are checked again. */
const CLOCK_MARGIN_MS = 600_000;

/** Removes series from blocks: those of deletion requests, and those with a shorter retention. */
export class Rewriter {
  /**
   * tenant -> block -> causes that match no row of the block: its rows never change, so it is not searched
   * again
   */
  private readonly clean = new Map<string, Map<string, Set<string>>>();
  private readonly bucket: Bucket;
  private readonly work: RewriteWork;
  private readonly config: RewriterConfig;
  private readonly limits: CompactorLimits;
  private readonly base: Base;
  private readonly deleted: { inc(labels: { reason: string }, n?: number): void };
  private readonly rewritten: { inc(labels: { reason: string }, n?: number): void };

  constructor(
    bucket: Bucket,
    work: RewriteWork,
    config: RewriterConfig,
    limits: CompactorLimits,
    base: Base,
  ) {
    this.bucket = bucket;
    this.work = work;
    this.config = config;
    this.limits = limits;
    this.base = base;
    this.deleted = base.metrics.counter(
      "cinderblock_compactor_profiles_deleted_total",
      "Profiles removed from blocks.",
      ["reason"],
    );
    this.rewritten = base.metrics.counter(
      "cinderblock_compactor_blocks_rewritten_total",
      "Blocks rewritten without some of their profiles.",
      ["reason"],
    );
    for (const reason of ["request", "retention"]) {
      this.deleted.inc({ reason }, 0);
      this.rewritten.inc({ reason }, 0);
    }
  }

  /** Whether series of a tenant must be removed from its blocks. */
  async isBusy(tenant: string): Promise<boolean> {
    return (
      this.limits.retentionRules(tenant).length > 0 ||
      (await deletionRequests(this.bucket, tenant)).some((r) => r.state === "active")
    );
  }

  /**
   * Runs one pass over a tenant. A block waits while its sources are still in the bucket: a plan may fall
   * back to them.
   * @param present all ULIDs in the tenant's folder, including marked ones
   */
  async rewriteTenant(
    tenant: string,
    blocks: readonly UploadedBlock[],
    present: ReadonlySet<string>,
  ): Promise<void> {
    const now = this.base.now();
    const requests = (await deletionRequests(this.bucket, tenant)).filter((r) => r.state !== "cancelled");
    const rules = this.limits.retentionRules(tenant);
    const clean = new Map([...(this.clean.get(tenant) ?? [])].filter(([ulid]) => present.has(ulid)));
    this.clean.set(tenant, clean);
    /** requests that are not done yet: a block waits, or a block was rewritten */
    const open = new Set<string>();
    const tasks: { block: BlockMeta; causes: Cause[] }[] = [];
    for (const { meta, uploadedMs } of [...blocks].sort((a, b) => a.meta.minTimeMs - b.meta.minTimeMs)) {
      const causes: Cause[] = [];
      for (const request of requests) {
        // A finished request still applies to later blocks with data from before its end.
        const isDone = request.state === "done";
        if (isDone && uploadedMs < request.doneMs - CLOCK_MARGIN_MS) continue;
        const endMs = isDone ? Math.min(request.endMs, request.doneMs) : request.endMs;
        if (meta.minTimeMs <= endMs && meta.maxTimeMs >= request.startMs)
          causes.push({
            key: request.id,
            drop: { selector: request.selector, startMs: request.startMs, endMs },
            request,
          });
      }
      for (const r of rules)
        if (meta.maxTimeMs < now - r.periodMs)
          causes.push({
            key: `retention ${r.selector}`,
            drop: { selector: r.selector, startMs: meta.minTimeMs, endMs: meta.maxTimeMs },
            request: undefined,
          });
      const left = causes.filter((c) => !clean.get(meta.ulid)?.has(c.key));
      if (left.length === 0) continue;
      const waits =
        (meta.compaction.level <= 1 && now - uploadedMs < this.config.firstLevelWaitMs) ||
        meta.compaction.sources.some((s) => s !== meta.ulid && present.has(s));
      if (waits) {
        for (const c of left) if (c.request) open.add(c.key);
        continue;
      }
      tasks.push({ block: meta, causes: left });
    }
    if (tasks.length > 0) await this.run(tenant, tasks, open, clean);
    for (const r of requests) {
      if (r.state === "done" || now <= r.untilMs || open.has(r.id)) continue;
      await saveDeletion(this.bucket, { ...r, state: "done", doneMs: now });
      this.base.log.info(
        { tenant, request: r.id, profiles: r.steps.reduce((n, s) => n + s.profiles, 0) },
        "deletion request completed",
      );
    }
  }

  private async run(
    tenant: string,
    tasks: readonly { block: BlockMeta; causes: Cause[] }[],
    open: Set<string>,
    clean: Map<string, Set<string>>,
  ): Promise<void> {
    const counts = await this.work.countDropped(
      tenant,
      tasks.map((t) => t.block),
      tasks.map((t) => t.causes.map((c) => c.drop)),
    );
    let dryProfiles = 0,
      dryBlocks = 0;
    for (const [i, { block, causes }] of tasks.entries()) {
      const found = causes.map((cause, k) => ({ cause, profiles: counts[i]![k]! }));
      clean.set(
        block.ulid,
        new Set([
          ...(clean.get(block.ulid) ?? []),
          ...found.filter((f) => f.profiles === 0).map((f) => f.cause.key),
        ]),
      );
      const matched = found.filter((f) => f.profiles > 0);
      const due = this.config.retentionDryRun ? matched.filter((f) => f.cause.request) : matched;
      for (const f of matched) {
        if (due.includes(f)) continue;
        dryProfiles += f.profiles;
        dryBlocks++;
        this.base.log.info(
          { tenant, blockId: block.ulid, rule: f.cause.key, profiles: f.profiles },
          "profiles would be deleted by retention (dry run)",
        );
      }
      if (due.length === 0) continue;
      for (const f of due) if (f.cause.request) open.add(f.cause.key);
      const reason = due.some((f) => f.cause.request) ? "request" : "retention";
      await this.work.rewrite(
        tenant,
        block,
        due.map((f) => f.cause.drop),
        `series deleted by ${due.map((f) => (f.cause.request ? `request ${f.cause.key}` : f.cause.key)).join(", ")}`,
        async (replacement) => {
          for (const {
            cause: { request },
            profiles,
          } of due) {
            if (!request) continue;
            request.steps.push({ atMs: this.base.now(), block: block.ulid, replacement, profiles });
            await saveDeletion(this.bucket, request);
          }
        },
      );
      this.rewritten.inc({ reason });
      for (const f of due)
        this.deleted.inc({ reason: f.cause.request ? "request" : "retention" }, f.profiles);
    }
    this.base.metrics
      .gauge(
        "cinderblock_compactor_retention_dry_run_profiles",
        "Profiles that retention rules would have deleted in the last dry-run pass.",
        ["user"],
      )
      .set({ user: tenant }, dryProfiles);
    if (dryBlocks > 0)
      this.base.log.info(
        { tenant, profiles: dryProfiles, blocks: dryBlocks },
        "retention by rules runs in dry-run mode",
      );
  }
}
