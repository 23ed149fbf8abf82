import { invalidError } from "@cinderblock/errors";
import type { BlockInfo } from "@cinderblock/query";
import type { QueryRunner } from "./query-runner.ts";
import type { RequestContext } from "./request.ts";

/** A block of a time range, its location, and whether a query of the range reads it. */
interface PlannedBlock extends BlockInfo {
  where: "ingester" | "bucket";
  read: boolean;
}

/** The blocks behind queries: their plan, their number and the times of their profiles. */
export class StoredBlocks {
  private readonly runner: QueryRunner;

  constructor(runner: QueryRunner) {
    this.runner = runner;
  }

  /** The blocks of a range, the newest first, with their location and whether a query of the range reads them. */
  async plannedBlocks(
    caller: RequestContext,
    startMs: number,
    endMs: number,
  ): Promise<{ blocks: PlannedBlock[] }> {
    const results = await this.runner.resultsPerTenant(caller, { kind: "blocks", startMs, endMs });
    return {
      blocks: results
        .flatMap((r) => {
          if (r.kind !== "blocks") return [];
          const stored = new Set(r.stored.map((b) => b.ulid)),
            read = new Set(r.chosen);
          return [
            ...r.stored.map((b) => ({ ...b, where: "bucket" as const, read: read.has(b.ulid) })),
            ...r.recent
              .filter((b) => !stored.has(b.ulid))
              .map((b) => ({ ...b, where: "ingester" as const, read: read.has(b.ulid) })),
          ];
        })
        .sort((a, b) => b.minTimeMs - a.minTimeMs),
    };
  }

  /** Times of the oldest and the newest profile in ms; undefined when nothing was ever stored. */
  async stats(caller: RequestContext): Promise<{ oldestMs: number; newestMs: number } | undefined> {
    const { recent, stored } = await this.blocks(caller, 0, Number.MAX_SAFE_INTEGER);
    const all = [...recent, ...stored];
    if (all.length === 0) return undefined;
    return {
      oldestMs: all.reduce((m, b) => Math.min(m, b.minTimeMs), Infinity),
      newestMs: all.reduce((m, b) => Math.max(m, b.maxTimeMs), 0),
    };
  }

  /** Number of blocks of a range; undefined without a range, or where a tenant's limits disable the analysis. */
  async analyze(
    caller: RequestContext,
    startMs: number,
    endMs: number,
  ): Promise<{ recent: number; stored: number; dedup: boolean } | undefined> {
    const limits = this.runner.limits(caller);
    if (startMs > 0 && endMs > 0 && startMs > endMs) throw invalidError("query start time is after end time");
    if (!limits.queryAnalysisEnabled || startMs === 0 || endMs === 0) return undefined;
    const { recent, stored } = await this.blocks(caller, startMs, endMs);
    return {
      recent: recent.length,
      stored: stored.length,
      dedup: [...recent, ...stored].some((b) => b.level < 2),
    };
  }

  private async blocks(
    caller: RequestContext,
    startMs: number,
    endMs: number,
  ): Promise<{ recent: BlockInfo[]; stored: BlockInfo[] }> {
    const results = await this.runner.resultsPerTenant(caller, { kind: "blocks", startMs, endMs });
    return {
      recent: results.flatMap((r) => (r.kind === "blocks" ? r.recent : [])),
      stored: results.flatMap((r) => (r.kind === "blocks" ? r.stored : [])),
    };
  }
}
