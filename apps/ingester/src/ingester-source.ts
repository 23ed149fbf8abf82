import { blockOf, CinderblockError, CorruptError, kindOf } from "@cinderblock/errors";
import {
  type BlockInfo,
  type Deadline,
  type ExecuteAnswer,
  type Exclusions,
  joinLabelAnswers,
  type LabelAnswer,
  type LabelRequest,
  mergePartials,
  type RowKeys,
  type RowTimes,
  type SelectRequest,
  type SeriesRanges,
  type SourceClient,
  type SourceQuery,
  unnamedReason,
} from "@cinderblock/query";
import type { QueryPool } from "@cinderblock/query-worker";
import type { Metrics } from "@cinderblock/telemetry";
import { shareAbort, type WorkerCalls, type WorkerPool } from "@cinderblock/threads";
import { blockInfo, damagedInfo, type LocalBlocks } from "./local-blocks.ts";
import type { IngestWorkerMethods, IngestWorkerNotices } from "./protocol.ts";

/** State of the ingester that its source reads. */
export interface SourceState {
  /** whether all logs are replayed */
  readonly started: boolean;
  /** whether the disk was empty at the start */
  readonly isNew: boolean;
  /** how far the replay is; empty: it has not begun, or has ended */
  readonly progress: string;
}

/** Answers queries from an ingester's heads, which its ingest threads hold, and from its local blocks. */
export class IngesterSource implements SourceClient {
  readonly name = "ingester";
  private readonly shards: WorkerPool<IngestWorkerMethods, IngestWorkerNotices>;
  private readonly local: LocalBlocks;
  private readonly pool: QueryPool;
  private readonly state: SourceState;
  private readonly damaged: { inc(): void };

  constructor(
    shards: WorkerPool<IngestWorkerMethods, IngestWorkerNotices>,
    local: LocalBlocks,
    pool: QueryPool,
    metrics: Metrics,
    state: SourceState,
  ) {
    this.shards = shards;
    this.local = local;
    this.pool = pool;
    this.state = state;
    this.damaged = metrics.counter(
      "cinderblock_ingester_damaged_blocks_total",
      "Unreadable local blocks that were quarantined.",
    );
  }

  /**
   * @throws `unavailable` until replay ends: before that, an ingester that is not new does not know its heads
   */
  private checkStarted(): void {
    if (!this.state.started)
      throw new CinderblockError(
        "unavailable",
        `the ingester is starting${this.state.progress === "" ? "" : `: ${this.state.progress}`}`,
      );
  }

  async blocks(tenant: string, startMs: number, endMs: number): Promise<BlockInfo[]> {
    if (!this.state.started && this.state.isNew) return [];
    this.checkStarted();
    const heads = (await this.shards.each((call) => call.blocks({ tenant, startMs, endMs }))).flat();
    const local = this.local
      .metas(tenant)
      .filter((m) => m.minTimeMs <= endMs && m.maxTimeMs >= startMs)
      .map(blockInfo);
    const known = new Set(heads.map((h) => h.ulid));
    const damaged = this.local
      .damagedBlocks(tenant)
      .filter((b) => b.minTimeMs <= endMs && b.maxTimeMs >= startMs)
      .map((b) => damagedInfo(b));
    return [...heads, ...[...local, ...damaged].filter((b) => !known.has(b.ulid))];
  }

  /** Splits ULIDs into local blocks and possible heads; both find a head that became a block meanwhile. */
  private divide(tenant: string, ulids: readonly string[]): { local: string[]; heads: string[] } {
    const local: string[] = [],
      heads: string[] = [];
    for (const u of ulids) {
      const damaged = this.local.damagedOf(tenant, u);
      // The querier plans around the block and marks each such answer as partial.
      if (damaged)
        throw new CorruptError(`${u}/quarantine`, 0, `quarantined before its upload: ${damaged.reason}`, {
          detail: { block: u },
        });
      (this.local.has(tenant, u) ? local : heads).push(u);
    }
    return { local, heads };
  }

  private async onHeads<T>(
    ulids: readonly string[],
    work: (call: WorkerCalls<IngestWorkerMethods>) => Promise<T>,
  ): Promise<T[]> {
    return ulids.length === 0 ? [] : this.shards.each(work);
  }

  /** ULIDs that no shard has. */
  private missingOf(answers: readonly { missing: string[] }[]): string[] {
    return answers.length === 0
      ? []
      : answers[0]!.missing.filter((u) => answers.every((a) => a.missing.includes(u)));
  }

  /** Heads that became blocks during the request. */
  private cutMeanwhile(
    tenant: string,
    heads: readonly string[],
    answered: readonly { ulid: string }[],
  ): string[] {
    return heads.filter((u) => !answered.some((a) => a.ulid === u) && this.local.has(tenant, u));
  }

  async execute(
    tenant: string,
    ulids: readonly string[],
    query: SourceQuery,
    exclude: Exclusions,
    until?: Deadline,
  ): Promise<ExecuteAnswer> {
    const { local, heads } = this.divide(tenant, ulids),
      stop = shareAbort(until?.signal);
    const [onHeads, onDisk] = await Promise.all([
      this.onHeads(heads, (call) => call.execute({ tenant, ulids: heads, query, exclude, stop })),
      local.length > 0
        ? this.setAside(
            tenant,
            local,
            this.pool.execute("local", tenant, local, query, exclude, until?.signal),
          )
        : undefined,
    ]);
    const results = [...onHeads.map((a) => a.result), onDisk?.result].filter((r) => r !== undefined);
    const missing = [...this.missingOf(onHeads), ...(onDisk?.missing ?? [])];
    // Do not query the new block of a head whose rows are partly excluded: the block numbers its rows differently.
    const late = missing.filter(
      (u) => heads.includes(u) && exclude[u] === undefined && this.local.has(tenant, u),
    );
    let again: ExecuteAnswer | undefined;
    if (late.length > 0) {
      again = await this.pool.execute("local", tenant, late, query, {}, until?.signal);
      if (again.result) results.push(again.result);
    }
    return {
      result: results.length > 0 ? mergePartials(results) : undefined,
      missing: missing.filter((u) => !late.includes(u)),
      ...unnamedReason([...onHeads, onDisk, again]),
    };
  }

  /** Quarantines a damaged local block: the bucket may have it intact, and the querier plans around it. */
  private async setAside<T>(tenant: string, ulids: readonly string[], work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (err) {
      const damaged = kindOf(err) === "corrupt" ? blockOf(err) : undefined;
      if (damaged !== undefined && ulids.includes(damaged) && this.local.has(tenant, damaged)) {
        this.local.quarantine(tenant, damaged, err);
        this.damaged.inc();
      }
      throw err;
    }
  }

  ranges(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<SeriesRanges[]> {
    return this.ofRows(
      tenant,
      ulids,
      (call, heads, stop) => call.ranges({ tenant, ulids: heads, select, stop }),
      (local) => this.pool.ranges("local", tenant, local, select, until?.signal),
      until,
    );
  }
  times(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<RowTimes[]> {
    return this.ofRows(
      tenant,
      ulids,
      (call, heads, stop) => call.times({ tenant, ulids: heads, select, stop }),
      (local) => this.pool.times("local", tenant, local, select, until?.signal),
      until,
    );
  }
  keys(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<RowKeys[]> {
    return this.ofRows(
      tenant,
      ulids,
      (call, heads, stop) => call.keys({ tenant, ulids: heads, select, stop }),
      (local) => this.pool.keys("local", tenant, local, select, until?.signal),
      until,
    );
  }

  /** Asks heads and local blocks for the ranges, times or keys of their rows. */
  private async ofRows<T extends { ulid: string }>(
    tenant: string,
    ulids: readonly string[],
    ofHeads: (
      call: WorkerCalls<IngestWorkerMethods>,
      heads: readonly string[],
      stop: Int32Array | undefined,
    ) => Promise<T[]>,
    ofBlocks: (local: readonly string[]) => Promise<T[]>,
    until: Deadline | undefined,
  ): Promise<T[]> {
    const { local, heads } = this.divide(tenant, ulids),
      stop = shareAbort(until?.signal);
    const onDisk = (list: readonly string[]): Promise<T[]> => this.setAside(tenant, list, ofBlocks(list));
    const [a, b] = await Promise.all([
      this.onHeads(heads, (call) => ofHeads(call, heads, stop)),
      onDisk(local),
    ]);
    const late = this.cutMeanwhile(tenant, heads, a.flat());
    return [...a.flat(), ...b, ...(late.length > 0 ? await onDisk(late) : [])];
  }

  async labels(
    tenant: string,
    ulids: readonly string[],
    ask: LabelRequest,
    until?: Deadline,
  ): Promise<LabelAnswer & { missing: string[] }> {
    const { local, heads } = this.divide(tenant, ulids),
      stop = shareAbort(until?.signal);
    const [a, b] = await Promise.all([
      this.onHeads(heads, (call) => call.labels({ tenant, ulids: heads, ask, stop })),
      this.setAside(tenant, local, this.pool.labels("local", tenant, local, ask, until?.signal)),
    ]);
    return { ...joinLabelAnswers([...a, b]), missing: [...this.missingOf(a), ...b.missing] };
  }
}
