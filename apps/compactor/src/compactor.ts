import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  type BlockMeta,
  decodeMeta,
  encodeMeta,
  isUlid,
  LABEL_HOSTNAME,
  ulidOfDeletionMark,
  ulidOfNoCompactMark,
} from "@cinderblock/block-meta";
import {
  blocksPrefix,
  type BucketIndexUpdater,
  type CompactionJob,
  type RowSelection,
  markForDeletion,
  markNoCompact,
  outdatedBlocks,
  planJobs,
  tenantMarkName,
} from "@cinderblock/compact";
import { crashPoint } from "@cinderblock/files";
import { CinderblockError } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { pathBelow } from "@cinderblock/tenant";
import { WorkerClient } from "@cinderblock/threads";
import { damagedBlock } from "./damaged-block.ts";
import type { CompactorLimits } from "./limits.ts";
import type { CompactAnswer, CompactWorkerData } from "./protocol.ts";
import { Rewriter } from "./rewriter.ts";
import { requireWorkRoom } from "./disk-space.ts";

/** The tenants and jobs of this process: each compactor of a ring owns some, and each has one owner. */
export interface Ownership {
  /** whether this process owns a tenant: retention, deletions, the bucket index */
  tenant: (tenant: string) => boolean;
  /** whether this process runs a tenant's job */
  job: (tenant: string, key: string) => boolean;
}

export interface CompactorConfig {
  dataDir: string;
  rangesMs: readonly number[];
  intervalMs: number;
  /** a job of level-1 blocks waits until all were uploaded at least this long ago: more may come */
  firstLevelWaitMs: number;
  /** no new job of a tenant starts after this time in one run */
  maxTenantMs: number;
  retries: number;
  jobsOrder: "smallest-range-oldest-blocks-first" | "newest-blocks-first";
  splitBy: "fingerprint" | "stacktracePartition";
  downsampler: boolean;
  memoryBytes: number;
  ownership: Ownership;
  enabledTenants: readonly string[];
  disabledTenants: readonly string[];
  hostname: string;
  retentionDryRun: boolean;
}

/** The first run comes soon after the start, when the process has done its other start work. */
const FIRST_RUN_MS = 30_000;
/** Deadline of one run: after a backlog it may compact for many hours. */
const RUN_DEADLINE_MS = 24 * 3600_000;

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Reason to exclude an unreadable block from compactions, in v1's words. */
const SET_ASIDE = "block-index-out-of-order-chunk";

/** Plans from the bucket and merges blocks, one job at a time; each job has its own thread. */
export class Compactor implements Service {
  readonly name = "compactor";
  /** called with outputs that are in the bucket, before their inputs are marked */
  onCompacted: (
    tenant: string,
    outputs: readonly BlockMeta[],
    inputs: readonly BlockMeta[],
  ) => Promise<void> = () => Promise.resolve();
  private readonly loop;
  private running: Promise<void> | undefined;
  private stopping = false;
  private readonly metas = new Map<string, Map<string, { meta: BlockMeta; uploadedMs: number }>>();
  private readonly script: URL;
  private readonly worker: CompactWorkerData;
  private readonly bucket: Bucket;
  private readonly index: BucketIndexUpdater;
  private readonly config: CompactorConfig;
  private readonly limits: CompactorLimits;
  private readonly base: Base;
  private readonly rewriter: Rewriter;
  private readonly jobsDone: { inc(): void };
  private readonly jobsFailed: { inc(): void };
  private readonly withoutRoom: { inc(n?: number): void };
  private readonly runsDone: { inc(): void };
  private readonly runsFailed: { inc(): void };
  private readonly unreadable: { inc(labels: { reason: string }, n?: number): void };

  constructor(
    script: URL,
    worker: CompactWorkerData,
    bucket: Bucket,
    index: BucketIndexUpdater,
    config: CompactorConfig,
    limits: CompactorLimits,
    base: Base,
  ) {
    this.script = script;
    this.worker = worker;
    this.bucket = bucket;
    this.index = index;
    this.config = config;
    this.limits = limits;
    this.base = base;
    this.rewriter = new Rewriter(
      bucket,
      {
        count: async (tenant, blocks, drops) =>
          (await this.inThread<{ counts: number[][] }>("count", { tenant, blocks, drops })).counts,
        rewrite: (tenant, block, drops, reason, commit) =>
          this.rewriteBlock(tenant, block, drops, reason, commit),
      },
      { firstLevelWaitMs: config.firstLevelWaitMs, retentionDryRun: config.retentionDryRun },
      limits,
      base,
    );
    this.loop = periodic(
      {
        name: "compaction",
        everyMs: config.intervalMs,
        firstMs: Math.min(config.intervalMs, FIRST_RUN_MS),
        deadlineMs: RUN_DEADLINE_MS,
      },
      () => this.run(),
      base,
    );
    // Created at the start with 0, so that an alert sees the first increment.
    const { metrics } = base;
    this.jobsDone = metrics.counter(
      "pyroscope_compactor_group_compactions_total",
      "Compaction jobs that succeeded.",
    );
    this.jobsFailed = metrics.counter(
      "pyroscope_compactor_group_compactions_failures_total",
      "Compaction jobs that failed.",
    );
    this.withoutRoom = metrics.counter(
      "cinderblock_compactor_jobs_without_room_total",
      "Compaction jobs not started because they would not fit on the disk of -compactor.data-dir.",
    );
    this.withoutRoom.inc(0);
    this.runsDone = metrics.counter(
      "pyroscope_compactor_runs_completed_total",
      "Compaction runs without a failed job.",
    );
    this.runsFailed = metrics.counter(
      "pyroscope_compactor_runs_failed_total",
      "Compaction runs with a failed job.",
    );
    this.unreadable = metrics.counter(
      "pyroscope_compactor_blocks_marked_for_no_compaction_total",
      "Blocks excluded from compaction.",
      ["reason"],
    );
    this.unreadable.inc({ reason: SET_ASIDE }, 0);
  }

  start(): Promise<void> {
    this.removeWorkFiles();
    this.loop.start();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.loop.stop(0);
    await this.current?.stop();
    await this.running;
  }

  /** Each process has its own work folder: several may share the directory. */
  private get workRoot(): string {
    return join(this.config.dataDir, "compact", String(process.pid));
  }

  /** Removes work folders of ended processes: no output in them was uploaded completely. */
  private removeWorkFiles(): void {
    const root = dirname(this.workRoot);
    if (!existsSync(root)) return;
    for (const pid of readdirSync(root))
      if (pid === String(process.pid) || !isAlive(Number(pid)))
        rmSync(join(root, pid), { recursive: true, force: true });
  }

  private current: WorkerClient | undefined;

  /** Runs one pass over all tenants. */
  run(): Promise<void> {
    this.running ??= this.pass()
      .catch((err: unknown) => this.base.log.warn({ err }, "compaction run failed"))
      .finally(() => {
        this.running = undefined;
      });
    return this.running;
  }

  private async pass(): Promise<void> {
    const { metrics } = this.base;
    metrics.counter("pyroscope_compactor_runs_started_total", "Runs begun.").inc();
    let failed = false;
    for (const tenant of await this.index.tenants()) {
      if (this.stopping) return;
      const { enabledTenants, disabledTenants, ownership } = this.config;
      if ((enabledTenants.length > 0 && !enabledTenants.includes(tenant)) || disabledTenants.includes(tenant))
        continue;
      if (!(await this.compactTenant(tenant))) failed = true;
      if (ownership.tenant(tenant) && !(await this.rewriteTenant(tenant))) failed = true;
    }
    (failed ? this.runsFailed : this.runsDone).inc();
    if (!failed)
      metrics
        .gauge(
          "pyroscope_compactor_last_successful_run_timestamp_seconds",
          "Unix time of the end of the last compaction run without a failed job.",
        )
        .set(this.base.now() / 1000);
  }

  /** Runs jobs until none is due, replanning after each. False when a job failed too often. */
  private async compactTenant(tenant: string): Promise<boolean> {
    const until = this.base.now() + this.config.maxTenantMs;
    const failures = new Map<string, number>();
    for (;;) {
      const mine = await this.ownedJobs(tenant);
      const job = (await this.jobs(tenant)).find(
        (j) => mine(j.key) && (failures.get(j.key) ?? 0) < this.config.retries,
      );
      if (!job || this.stopping || this.base.now() > until)
        return [...failures.values()].every((n) => n < this.config.retries);
      try {
        await this.runJob(tenant, job);
      } catch (err) {
        if (this.stopping) return true;
        const n = (failures.get(job.key) ?? 0) + 1;
        failures.set(job.key, n);
        this.jobsFailed.inc();
        this.base.log.error({ tenant, job: job.key, attempt: n, err }, "compaction failed");
        const damaged = await damagedBlock(this.bucket, tenant, job.blocks, err);
        // Leave the damaged block unchanged; the others are compacted without it.
        if (damaged) await this.setAside(tenant, damaged, (err as Error).message);
      }
    }
  }

  /**
   * Decides which jobs of a tenant this process runs. While series are deleted from the tenant's blocks, the
   * tenant's owner runs all jobs: a merge by another process would bring the series back.
   */
  private async ownedJobs(tenant: string): Promise<(key: string) => boolean> {
    const { tenant: owns, job } = this.config.ownership;
    return (await this.rewriter.isBusy(tenant)) ? () => owns(tenant) : (key) => job(tenant, key);
  }

  /** Applies deletion requests and retention rules to a tenant's blocks. False when it failed. */
  private async rewriteTenant(tenant: string): Promise<boolean> {
    if (this.stopping) return true;
    try {
      if (await this.bucket.exists(tenantMarkName(tenant))) return true;
      const prefix = blocksPrefix(tenant);
      const present = new Set(
        (await this.bucket.list(prefix)).map((n) => n.slice(prefix.length).replace(/\/$/, "")).filter(isUlid),
      );
      await this.rewriter.rewriteTenant(tenant, [...(await this.sync(tenant)).values()], present);
      return true;
    } catch (err) {
      if (this.stopping) return true;
      this.base.log.error({ tenant, err }, "removal of series from blocks failed, retrying in the next run");
      return false;
    }
  }

  private async rewriteBlock(
    tenant: string,
    block: BlockMeta,
    drops: readonly RowSelection[],
    reason: string,
    commit: (replacement: string) => Promise<void>,
  ): Promise<void> {
    const started = performance.now();
    const workDir = pathBelow(this.workRoot, `${tenant}-${block.ulid}`);
    rmSync(workDir, { recursive: true, force: true });
    await this.requireRoom([block]);
    try {
      const { outputs, dropped } = await this.inThread<CompactAnswer>("rewrite", {
        tenant,
        block,
        drops,
        memoryBytes: this.config.memoryBytes,
        workDir,
      });
      await this.publish(tenant, outputs, [block]);
      await commit(outputs[0]?.meta.ulid ?? "");
      await this.mark(tenant, [block], reason, "rewritten");
      await this.index.updateTenant(tenant);
      this.base.log.info(
        {
          tenant,
          blockId: block.ulid,
          output: outputs[0]?.meta.ulid ?? "",
          profiles: dropped,
          reason,
          seconds: Number(((performance.now() - started) / 1000).toFixed(2)),
        },
        "block rewritten",
      );
    } finally {
      rmSync(workDir, { recursive: true, force: true });
    }
  }

  private async setAside(tenant: string, block: BlockMeta, why: string): Promise<void> {
    await markNoCompact(this.bucket, tenant, block.ulid, why.slice(0, 500), this.base.now());
    this.unreadable.inc({ reason: SET_ASIDE });
    this.base.log.error(
      { tenant, blockId: block.ulid, reason: why },
      "block is damaged, excluding it from compaction",
    );
  }

  /** The due jobs, in the order of execution. Marks blocks that an interrupted compaction left behind. */
  private async jobs(tenant: string): Promise<CompactionJob[]> {
    if (await this.bucket.exists(tenantMarkName(tenant))) return [];
    const known = await this.sync(tenant);
    const metas = [...known.values()].map((k) => k.meta);
    for (const m of outdatedBlocks(metas)) {
      await this.mark(tenant, [m], "outdated block", "outdated");
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
    if (this.config.jobsOrder === "newest-blocks-first")
      jobs.sort(
        (a, b) =>
          Math.max(...b.blocks.map((m) => m.maxTimeMs)) - Math.max(...a.blocks.map((m) => m.maxTimeMs)),
      );
    return jobs;
  }

  /** Complete blocks without a deletion or no-compact mark. Metas never change, so each is read once. */
  private async sync(tenant: string): Promise<Map<string, { meta: BlockMeta; uploadedMs: number }>> {
    const prefix = blocksPrefix(tenant);
    const left = new Set<string>();
    for (const n of await this.bucket.list(`${prefix}markers/`)) {
      const name = n.slice(`${prefix}markers/`.length);
      const ulid = ulidOfDeletionMark(name) ?? ulidOfNoCompactMark(name);
      if (ulid) left.add(ulid);
    }
    const old = this.metas.get(tenant) ?? new Map<string, { meta: BlockMeta; uploadedMs: number }>();
    const next = new Map<string, { meta: BlockMeta; uploadedMs: number }>();
    for (const n of await this.bucket.list(prefix)) {
      const ulid = n.slice(prefix.length).replace(/\/$/, "");
      if (!isUlid(ulid) || left.has(ulid)) continue;
      const known = old.get(ulid);
      if (known) {
        next.set(ulid, known);
        continue;
      }
      try {
        const name = `${prefix}${ulid}/meta.json`;
        next.set(ulid, {
          meta: decodeMeta(await this.bucket.get(name), `${ulid}/meta.json`),
          uploadedMs: (await this.bucket.attributes(name)).lastModifiedMs,
        });
      } catch (err) {
        if (!(err instanceof CinderblockError)) throw err;
        // Skips a partial block, which has no meta.json yet, and a damaged meta.json: the bucket index reports
        // both.
        if (err.kind !== "not-found" && err.kind !== "corrupt") throw err;
      }
    }
    this.metas.set(tenant, next);
    return new Map(next);
  }

  /** @throws `no-room` when a job does not fit on the disk: its sources stay, and a later run tries again */
  private async requireRoom(blocks: readonly BlockMeta[]): Promise<void> {
    mkdirSync(this.config.dataDir, { recursive: true });
    try {
      await requireWorkRoom(this.config.dataDir, blocks);
    } catch (err) {
      this.withoutRoom.inc();
      throw err;
    }
  }

  /** Merges, publishes the outputs (files, then metas), then marks the inputs. */
  private async runJob(tenant: string, job: CompactionJob): Promise<void> {
    const { metrics, log } = this.base;
    const started = performance.now();
    metrics.counter("pyroscope_compactor_group_compaction_runs_started_total", "Jobs begun.").inc();
    const workDir = pathBelow(this.workRoot, `${tenant}-${job.rangeStartMs}-${job.rangeEndMs}`);
    rmSync(workDir, { recursive: true, force: true });
    await this.requireRoom(job.blocks);
    try {
      const { outputs, rows, duplicates } = await this.inThread<CompactAnswer>("compact", {
        tenant,
        blocks: job.blocks,
        shards: job.stage === "split" ? this.limits.splitShards(tenant) : 0,
        splitBy: this.config.splitBy,
        downsample: this.config.downsampler && this.limits.downsample(tenant),
        memoryBytes: this.config.memoryBytes,
        workDir,
      });
      crashPoint("compact/outputs-written");
      await this.publish(tenant, outputs, job.blocks);
      crashPoint("compact/published");
      await this.mark(tenant, job.blocks, "source of compacted block", "compaction");
      crashPoint("compact/sources-marked");
      // Only the tenant's owner writes the index. Store-gateways have received the outputs already.
      if (this.config.ownership.tenant(tenant)) await this.index.updateTenant(tenant);
      this.jobsDone.inc();
      metrics
        .counter("cinderblock_compactor_duplicates_total", "Duplicate profiles that compaction removed.")
        .inc(duplicates);
      log.info(
        {
          tenant,
          stage: job.stage,
          shard: job.shardId,
          rangeStart: new Date(job.rangeStartMs).toISOString(),
          inputs: job.blocks.length,
          outputs: outputs.map((o) => o.meta.ulid),
          profiles: rows,
          duplicates,
          seconds: Number(((performance.now() - started) / 1000).toFixed(2)),
        },
        "blocks compacted",
      );
    } finally {
      rmSync(workDir, { recursive: true, force: true });
    }
  }

  /** Uploads files, then metas; checks the metas and announces the outputs before the inputs may go. */
  private async publish(
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
        Buffer.from(
          encodeMeta({ ...o.meta, labels: { ...o.meta.labels, [LABEL_HOSTNAME]: this.config.hostname } }),
        ),
      );
      crashPoint("compact/first-meta-uploaded");
    }
    for (const o of outputs)
      if (!(await this.bucket.exists(`${prefix}${o.meta.ulid}/meta.json`)))
        throw new CinderblockError(
          "unavailable",
          `block ${o.meta.ulid} was uploaded but is missing from the bucket`,
        );
    await this.onCompacted(
      tenant,
      outputs.map((o) => o.meta),
      inputs,
    );
  }

  private async mark(
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

  /** Runs one method in its own thread. */
  private async inThread<T>(method: "compact" | "rewrite" | "count", call: object): Promise<T> {
    const worker = new WorkerClient(
      () => undefined,
      (reason) => this.base.log.error({ reason }, "compaction thread died"),
    );
    this.current = worker;
    // Values are in buffers; a large young generation would only keep garbage alive.
    worker.start(this.script, this.worker, "compact", { maxYoungGenerationSizeMb: 4 });
    try {
      return await worker.call<T>(method, call);
    } finally {
      this.current = undefined;
      await worker.stop();
    }
  }
}
