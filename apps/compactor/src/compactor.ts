import { isUlid } from "@cinderblock/block-meta";
import { blocksPrefix, type BucketIndexUpdater, tenantMarkName } from "@cinderblock/compact";
import type { Bucket } from "@cinderblock/objstore";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { BlockPublisher, type CompactionListener } from "./block-publisher.ts";
import type { CompactorConfig } from "./compactor-config.ts";
import { damagedBlockOf } from "./damaged-block.ts";
import { JobPlanner } from "./job-planner.ts";
import { type CompactionThread, JobRunner } from "./job-runner.ts";
import type { CompactorLimits } from "./limits.ts";
import { Rewriter } from "./rewriter.ts";

/** The first run comes soon after the start, when the process has done its other start work. */
const FIRST_RUN_MS = 30_000;
/** Deadline of one run: after a backlog it may compact for many hours. */
const RUN_DEADLINE_MS = 24 * 3600_000;

/** Plans from the bucket and runs jobs in passes over all tenants, one job at a time. */
export class Compactor implements Service {
  readonly name = "compactor";
  /** called with outputs that are in the bucket, before their inputs are marked */
  onCompacted: CompactionListener = () => Promise.resolve();
  private readonly loop;
  private running: Promise<void> | undefined;
  private stopping = false;
  private readonly bucket: Bucket;
  private readonly index: BucketIndexUpdater;
  private readonly config: CompactorConfig;
  private readonly base: Base;
  private readonly publisher: BlockPublisher;
  private readonly planner: JobPlanner;
  private readonly runner: JobRunner;
  private readonly rewriter: Rewriter;
  private readonly lastSuccess: { set(seconds: number): void };
  private readonly jobsFailed: { inc(): void };
  private readonly runsDone: { inc(): void };
  private readonly runsFailed: { inc(): void };

  constructor(
    thread: CompactionThread,
    bucket: Bucket,
    index: BucketIndexUpdater,
    config: CompactorConfig,
    limits: CompactorLimits,
    base: Base,
  ) {
    this.bucket = bucket;
    this.index = index;
    this.config = config;
    this.base = base;
    this.publisher = new BlockPublisher(
      bucket,
      config.hostname,
      (tenant, outputs, inputs) => this.onCompacted(tenant, outputs, inputs),
      base,
    );
    this.planner = new JobPlanner(bucket, this.publisher, config, limits, base);
    this.runner = new JobRunner(thread, index, this.publisher, config, limits, base);
    this.rewriter = new Rewriter(
      bucket,
      this.runner,
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
    // Create the counters at the start with 0, so that an alert sees their first increment.
    const { metrics } = base;
    this.lastSuccess = metrics.gauge(
      "pyroscope_compactor_last_successful_run_timestamp_seconds",
      "Unix time of the end of the last compaction run without a failed job; before the first one, of the start.",
    );
    // An alert on its age also fires for a compactor that never succeeds.
    this.lastSuccess.set(base.now() / 1000);
    this.jobsFailed = metrics.counter(
      "pyroscope_compactor_group_compactions_failures_total",
      "Compaction jobs that failed.",
    );
    this.runsDone = metrics.counter(
      "pyroscope_compactor_runs_completed_total",
      "Successful compaction runs: no job of the run failed.",
    );
    this.runsFailed = metrics.counter(
      "pyroscope_compactor_runs_failed_total",
      "Compaction runs with a failed job.",
    );
  }

  start(): Promise<void> {
    this.runner.removeWorkFiles();
    this.loop.start();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.loop.stop(0);
    await this.runner.stop();
    await this.running;
  }

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
    if (!failed) this.lastSuccess.set(this.base.now() / 1000);
  }

  /** Runs jobs until none is due, replanning after each. False when a job failed too often. */
  private async compactTenant(tenant: string): Promise<boolean> {
    const until = this.base.now() + this.config.maxTenantMs;
    const failures = new Map<string, number>();
    for (;;) {
      const mine = await this.ownedJobs(tenant);
      const job = (await this.planner.dueJobs(tenant)).find(
        (j) => mine(j.key) && (failures.get(j.key) ?? 0) < this.config.retries,
      );
      if (!job || this.stopping || this.base.now() > until)
        return [...failures.values()].every((n) => n < this.config.retries);
      try {
        await this.runner.compact(tenant, job);
      } catch (err) {
        if (this.stopping) return true;
        const n = (failures.get(job.key) ?? 0) + 1;
        failures.set(job.key, n);
        this.jobsFailed.inc();
        this.base.log.error({ tenant, job: job.key, attempt: n, err }, "compaction failed");
        const damaged = await damagedBlockOf(this.bucket, tenant, job.blocks, err);
        // Leave the damaged block unchanged; the others are compacted without it.
        if (damaged) await this.publisher.excludeFromCompaction(tenant, damaged, (err as Error).message);
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
      await this.rewriter.rewriteTenant(
        tenant,
        [...(await this.planner.compactableBlocks(tenant)).values()],
        present,
      );
      return true;
    } catch (err) {
      if (this.stopping) return true;
      this.base.log.error({ tenant, err }, "removal of series from blocks failed, retrying in the next run");
      return false;
    }
  }
}
