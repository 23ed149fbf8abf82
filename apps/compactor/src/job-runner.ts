import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { BlockMeta } from "@cinderblock/block-meta";
import type { BucketIndexUpdater, CompactionJob, RowSelection } from "@cinderblock/compact";
import { crashPoint } from "@cinderblock/files";
import type { Base } from "@cinderblock/telemetry";
import { pathBelow } from "@cinderblock/tenant";
import { WorkerPool } from "@cinderblock/threads";
import type { BlockPublisher } from "./block-publisher.ts";
import type { CompactorConfig } from "./compactor-config.ts";
import { requireWorkRoom } from "./disk-space.ts";
import type { CompactorLimits } from "./limits.ts";
import type { CompactWorkerData, CompactWorkerMethods } from "./protocol.ts";
import type { RewriteWork } from "./rewriter.ts";

/** Script of a compaction thread, and its data. */
export interface CompactionThread {
  script: URL;
  data: CompactWorkerData;
}

/** Runs jobs, one at a time: each has its own thread and work folder. */
export class JobRunner implements RewriteWork {
  private readonly pool: WorkerPool<CompactWorkerMethods>;
  private readonly index: BucketIndexUpdater;
  private readonly publisher: BlockPublisher;
  private readonly config: CompactorConfig;
  private readonly limits: CompactorLimits;
  private readonly base: Base;
  private readonly jobsDone: { inc(): void };
  private readonly withoutRoom: { inc(n?: number): void };

  constructor(
    thread: CompactionThread,
    index: BucketIndexUpdater,
    publisher: BlockPublisher,
    config: CompactorConfig,
    limits: CompactorLimits,
    base: Base,
  ) {
    this.pool = new WorkerPool<CompactWorkerMethods>(
      {
        name: "compact",
        script: thread.script,
        count: 0,
        data: () => thread.data,
        // Column values are in buffers outside the heap: a large young generation would only keep garbage alive.
        resourceLimits: { maxYoungGenerationSizeMb: 4 },
      },
      base,
    );
    this.index = index;
    this.publisher = publisher;
    this.config = config;
    this.limits = limits;
    this.base = base;
    // Create the counters at the start with 0, so that an alert sees their first increment.
    this.jobsDone = base.metrics.counter(
      "pyroscope_compactor_group_compactions_total",
      "Compaction jobs that succeeded.",
    );
    this.withoutRoom = base.metrics.counter(
      "cinderblock_compactor_jobs_without_room_total",
      "Compaction jobs not started because they would not fit on the disk of -compactor.data-dir.",
    );
    this.withoutRoom.inc(0);
  }

  /** Removes work folders of ended processes: no output in them was uploaded completely. */
  removeWorkFiles(): void {
    const root = dirname(this.workRoot);
    if (!existsSync(root)) return;
    for (const pid of readdirSync(root))
      if (pid === String(process.pid) || !isAlive(Number(pid)))
        rmSync(join(root, pid), { recursive: true, force: true });
  }

  /** Stops the thread of the current job, which then fails. */
  stop(): Promise<void> {
    return this.pool.stop();
  }

  /** Merges, publishes the outputs (files, then metas), then marks the inputs. */
  async compact(tenant: string, job: CompactionJob): Promise<void> {
    const { metrics, log } = this.base;
    const started = performance.now();
    metrics.counter("pyroscope_compactor_group_compaction_runs_started_total", "Jobs begun.").inc();
    await this.inWorkDir(`${tenant}-${job.rangeStartMs}-${job.rangeEndMs}`, job.blocks, async (workDir) => {
      const { outputs, rows, duplicates } = await this.pool.inOwnThread((call) =>
        call.compact({
          tenant,
          blocks: job.blocks,
          shards: job.stage === "split" ? this.limits.splitShards(tenant) : 0,
          splitBy: this.config.splitBy,
          downsample: this.config.downsampler && this.limits.downsample(tenant),
          memoryBytes: this.config.memoryBytes,
          workDir,
        }),
      );
      crashPoint("compact/outputs-written");
      await this.publisher.publish(tenant, outputs, job.blocks);
      crashPoint("compact/published");
      await this.publisher.markForDeletion(tenant, job.blocks, "source of compacted block", "compaction");
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
          seconds: secondsSince(started),
        },
        "blocks compacted",
      );
    });
  }

  /** For each list of row selections to drop, counts the profiles that it would remove from each block. */
  async countDropped(
    tenant: string,
    blocks: readonly BlockMeta[],
    drops: readonly (readonly RowSelection[])[],
  ): Promise<number[][]> {
    return (await this.pool.inOwnThread((call) => call.count({ tenant, blocks, drops }))).counts;
  }

  /** Rewrites a block without some of its rows, publishes the result, calls `commit`, and marks the block. */
  async rewrite(
    tenant: string,
    block: BlockMeta,
    drops: readonly RowSelection[],
    reason: string,
    commit: (replacement: string) => Promise<void>,
  ): Promise<void> {
    const started = performance.now();
    await this.inWorkDir(`${tenant}-${block.ulid}`, [block], async (workDir) => {
      const { outputs, dropped } = await this.pool.inOwnThread((call) =>
        call.rewrite({ tenant, block, drops, memoryBytes: this.config.memoryBytes, workDir }),
      );
      const output = outputs[0]?.meta.ulid ?? "";
      await this.publisher.publish(tenant, outputs, [block]);
      await commit(output);
      await this.publisher.markForDeletion(tenant, [block], reason, "rewritten");
      await this.index.updateTenant(tenant);
      this.base.log.info(
        { tenant, blockId: block.ulid, output, profiles: dropped, reason, seconds: secondsSince(started) },
        "block rewritten",
      );
    });
  }

  /** The work folder of this process: several processes may share the directory. */
  private get workRoot(): string {
    return join(this.config.dataDir, "compact", String(process.pid));
  }

  /**
   * Runs work on blocks with an empty folder, and removes the folder at the end.
   * @throws `no-room` when the work does not fit on the disk: its sources stay, and a later run tries again
   */
  private async inWorkDir(
    name: string,
    blocks: readonly BlockMeta[],
    work: (workDir: string) => Promise<void>,
  ): Promise<void> {
    const workDir = pathBelow(this.workRoot, name);
    rmSync(workDir, { recursive: true, force: true });
    mkdirSync(this.config.dataDir, { recursive: true });
    try {
      await requireWorkRoom(this.config.dataDir, blocks);
    } catch (err) {
      this.withoutRoom.inc();
      throw err;
    }
    try {
      await work(workDir);
    } finally {
      rmSync(workDir, { recursive: true, force: true });
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === "EPERM";
  }
}

function secondsSince(started: number): number {
  return Number(((performance.now() - started) / 1000).toFixed(2));
}
