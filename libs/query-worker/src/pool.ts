import {
  type ExecuteAnswer,
  type Exclusions,
  joinLabelAnswers,
  type LabelAnswer,
  type LabelRequest,
  mergePartials,
  unnamedReason,
  type RowKeys,
  type RowTimes,
  type SelectRequest,
  type SeriesRanges,
  type SourceQuery,
} from "@cinderblock/query";
import type { Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import {
  shareAbort,
  Transfer,
  transferable,
  type WorkerCalls,
  type WorkerClient,
  WorkerPool,
} from "@cinderblock/threads";
import { DISK_CACHE_FIELDS } from "./disk-cache.ts";
import { threadOfBlock } from "./thread-of.ts";
import type {
  BlocksCall,
  ExportCall,
  FilesAnswer,
  FilesCall,
  QueryThreadData,
  QueryWorkerData,
  QueryWorkerMethods,
  RenderAnswer,
  RenderCall,
  BlockLocation,
} from "./protocol.ts";

/** Maximum wait for queries in flight at the stop. */
const DRAIN_MS = 1000;

/**
 * Pool of query worker threads. A block always goes to the same thread, so that only one thread holds its
 * columns and symbols.
 */
export class QueryPool implements Service {
  readonly name = "query-workers";
  private readonly pool: WorkerPool<QueryWorkerMethods>;
  private readonly data: QueryWorkerData;
  private readonly base: Base;

  constructor(script: URL, count: number, data: QueryWorkerData, heapMb: number, base: Base) {
    this.data = data;
    this.base = base;
    this.pool = new WorkerPool<QueryWorkerMethods>(
      {
        name: "query",
        script,
        count,
        data: (index): QueryThreadData => ({
          ...data,
          cacheBytes: Math.floor(data.cacheBytes / count),
          disk: data.disk && { ...data.disk, bytes: Math.floor(data.disk.bytes / count) },
          index,
          count,
        }),
        resourceLimits: { maxOldGenerationSizeMb: heapMb },
      },
      base,
    );
  }

  start(): Promise<void> {
    const { disk } = this.data;
    if (disk) {
      const cells = new BigInt64Array(disk.counters),
        at = (f: (typeof DISK_CACHE_FIELDS)[number]): number =>
          Number(Atomics.load(cells, DISK_CACHE_FIELDS.indexOf(f)));
      const { metrics } = this.base;
      metrics.gauge(
        "cinderblock_block_disk_cache_pieces_total",
        "Requests for pieces of block files, by whether the disk cache had them.",
        ["result"],
        (g) => {
          g.set({ result: "hit" }, at("hits"));
          g.set({ result: "miss" }, at("misses"));
        },
      );
      metrics.gauge(
        "cinderblock_block_disk_cache_bytes",
        "Size of the block files in the disk cache.",
        [],
        (g) => {
          g.set(at("bytes"));
        },
      );
      metrics.gauge(
        "cinderblock_block_disk_cache_evicted_files_total",
        "Block files evicted from the disk cache.",
        [],
        (g) => {
          g.set(at("evictions"));
        },
      );
      metrics.gauge(
        "cinderblock_block_disk_cache_failures_total",
        "Pieces that could not be cached, or whose cached bytes were damaged.",
        [],
        (g) => {
          g.set(at("failures"));
        },
      );
    }
    this.pool.start();
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return this.pool.stop(DRAIN_MS);
  }

  private groups(ulids: readonly string[]): Map<WorkerClient<QueryWorkerMethods>, string[]> {
    const out = new Map<WorkerClient<QueryWorkerMethods>, string[]>();
    const { threads } = this.pool;
    for (const u of ulids) {
      const w = threads[threadOfBlock(u, threads.length)]!;
      const list = out.get(w);
      if (list) list.push(u);
      else out.set(w, [u]);
    }
    return out;
  }

  /** Calls each thread with the blocks that it holds. */
  private fan<T>(
    root: BlockLocation,
    tenant: string,
    ulids: readonly string[],
    signal: AbortSignal | undefined,
    work: (call: WorkerCalls<QueryWorkerMethods>, blocks: BlocksCall) => Promise<T>,
  ): Promise<T[]> {
    const stop = shareAbort(signal);
    return Promise.all(
      [...this.groups(ulids)].map(([w, list]) => work(w.call, { root, tenant, ulids: list, stop })),
    );
  }

  async execute(
    root: BlockLocation,
    tenant: string,
    ulids: readonly string[],
    query: SourceQuery,
    exclude: Exclusions,
    signal?: AbortSignal,
  ): Promise<ExecuteAnswer> {
    const answers = await this.fan(root, tenant, ulids, signal, (call, blocks) =>
      call.execute({ ...blocks, query, exclude }),
    );
    const results = answers.map((a) => a.result).filter((r) => r !== undefined);
    return {
      result: results.length > 0 ? mergePartials(results) : undefined,
      missing: answers.flatMap((a) => a.missing),
      ...unnamedReason(answers),
    };
  }

  async ranges(
    root: BlockLocation,
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    signal?: AbortSignal,
  ): Promise<SeriesRanges[]> {
    return (
      await this.fan(root, tenant, ulids, signal, (call, blocks) => call.ranges({ ...blocks, select }))
    ).flat();
  }

  async times(
    root: BlockLocation,
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    signal?: AbortSignal,
  ): Promise<RowTimes[]> {
    return (
      await this.fan(root, tenant, ulids, signal, (call, blocks) => call.times({ ...blocks, select }))
    ).flat();
  }

  async keys(
    root: BlockLocation,
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    signal?: AbortSignal,
  ): Promise<RowKeys[]> {
    return (
      await this.fan(root, tenant, ulids, signal, (call, blocks) => call.keys({ ...blocks, select }))
    ).flat();
  }

  async labels(
    root: BlockLocation,
    tenant: string,
    ulids: readonly string[],
    ask: LabelRequest,
    signal?: AbortSignal,
  ): Promise<LabelAnswer & { missing: string[] }> {
    const answers = await this.fan(root, tenant, ulids, signal, (call, blocks) =>
      call.labels({ ...blocks, ask }),
    );
    return { ...joinLabelAnswers(answers), missing: answers.flatMap((a) => a.missing) };
  }

  /**
   * Merges and renders on the thread with the fewest calls in flight. Transfers the partial results of
   * `call`: the caller loses them.
   */
  render(call: RenderCall, signal?: AbortSignal): Promise<RenderAnswer> {
    const moved = transferable(call);
    return this.pool.idlest().call.render(new Transfer({ ...call, stop: shareAbort(signal) }, moved));
  }

  /**
   * Encodes an answer as a file, on the thread with the fewest calls in flight. Transfers the buffers of
   * `call`.
   */
  export(call: ExportCall, signal?: AbortSignal): Promise<{ bytes: Uint8Array; rows: number }> {
    const moved = transferable(call);
    return this.pool.idlest().call.export(new Transfer({ ...call, stop: shareAbort(signal) }, moved));
  }

  /** Reads profile files and renders one or two of them, on the thread with the fewest calls in flight. */
  files(call: FilesCall): Promise<FilesAnswer> {
    return this.pool.idlest().call.files(call);
  }

  forget(root: BlockLocation, tenant: string, ulids: readonly string[]): void {
    for (const [w, list] of this.groups(ulids))
      w.call
        .forget({ root, tenant, ulids: list })
        .catch((err: unknown) => this.base.log.warn({ err }, "query worker did not release a block"));
  }
}
