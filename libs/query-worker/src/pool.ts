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
import { shareAbort, transferable, WorkerClient } from "@cinderblock/threads";
import { DISK_CACHE_FIELDS } from "./disk-cache.ts";
import { threadOfBlock } from "./thread-of.ts";
import type {
  ExportCall,
  FilesAnswer,
  FilesCall,
  QueryWorkerData,
  RenderAnswer,
  RenderCall,
  BlockLocation,
} from "./protocol.ts";

/**
 * Pool of query worker threads. A block always goes to the same thread, so that only one thread holds its
 * columns and symbols.
 */
export class QueryPool implements Service {
  readonly name = "query-workers";
  private workers: WorkerClient[] = [];
  private stopping = false;
  private readonly script: URL;
  private readonly count: number;
  private readonly data: QueryWorkerData;
  private readonly heapMb: number;
  private readonly base: Base;

  constructor(script: URL, count: number, data: QueryWorkerData, heapMb: number, base: Base) {
    this.script = script;
    this.count = count;
    this.data = data;
    this.heapMb = heapMb;
    this.base = base;
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
    const restarts = this.base.metrics.counter(
      "cinderblock_query_worker_restarts_total",
      "Query worker threads that died and were restarted.",
    );
    for (let i = 0; i < this.count; i++) {
      const begin = (): WorkerClient => {
        const w = new WorkerClient(
          () => undefined,
          (reason) => {
            if (this.stopping) return;
            this.base.log.error({ worker: i, reason }, "query worker died, restarting it");
            restarts.inc();
            this.workers[i] = begin();
          },
        );
        w.start(
          this.script,
          {
            ...this.data,
            cacheBytes: Math.floor(this.data.cacheBytes / this.count),
            ...(this.data.disk
              ? { disk: { ...this.data.disk, bytes: Math.floor(this.data.disk.bytes / this.count) } }
              : {}),
            index: i,
            count: this.count,
          },
          `query-${i}`,
          { maxOldGenerationSizeMb: this.heapMb },
        );
        return w;
      };
      this.workers.push(begin());
    }
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.workers.map((w) => w.stop()));
  }

  private groups(ulids: readonly string[]): Map<WorkerClient, string[]> {
    const out = new Map<WorkerClient, string[]>();
    for (const u of ulids) {
      const w = this.workers[threadOfBlock(u, this.workers.length)]!;
      const list = out.get(w);
      if (list) list.push(u);
      else out.set(w, [u]);
    }
    return out;
  }

  private fan<T>(
    method: string,
    root: BlockLocation,
    tenant: string,
    ulids: readonly string[],
    more: object,
  ): Promise<T[]> {
    return Promise.all(
      [...this.groups(ulids)].map(([w, list]) => w.call<T>(method, { root, tenant, ulids: list, ...more })),
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
    const answers = await this.fan<ExecuteAnswer>("execute", root, tenant, ulids, {
      query,
      exclude,
      stop: shareAbort(signal),
    });
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
      await this.fan<SeriesRanges[]>("ranges", root, tenant, ulids, { select, stop: shareAbort(signal) })
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
      await this.fan<RowTimes[]>("times", root, tenant, ulids, { select, stop: shareAbort(signal) })
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
      await this.fan<RowKeys[]>("keys", root, tenant, ulids, { select, stop: shareAbort(signal) })
    ).flat();
  }

  async labels(
    root: BlockLocation,
    tenant: string,
    ulids: readonly string[],
    ask: LabelRequest,
    signal?: AbortSignal,
  ): Promise<LabelAnswer & { missing: string[] }> {
    const answers = await this.fan<LabelAnswer & { missing: string[] }>("labels", root, tenant, ulids, {
      ask,
      stop: shareAbort(signal),
    });
    return { ...joinLabelAnswers(answers), missing: answers.flatMap((a) => a.missing) };
  }

  /**
   * Merges and renders on the thread with the fewest calls in flight. Transfers the partial results of
   * `call`: the caller loses them.
   */
  render(call: RenderCall, signal?: AbortSignal): Promise<RenderAnswer> {
    const w = this.workers.reduce((a, b) => (b.inFlight < a.inFlight ? b : a));
    return w.call<RenderAnswer>("render", { ...call, stop: shareAbort(signal) }, transferable(call));
  }

  /**
   * Encodes an answer as a file, on the thread with the fewest calls in flight. Transfers the buffers of
   * `call`.
   */
  export(call: ExportCall, signal?: AbortSignal): Promise<{ bytes: Uint8Array; rows: number }> {
    const w = this.workers.reduce((a, b) => (b.inFlight < a.inFlight ? b : a));
    return w.call<{ bytes: Uint8Array; rows: number }>(
      "export",
      { ...call, stop: shareAbort(signal) },
      transferable(call),
    );
  }

  /** Reads profile files and renders one or two of them, on the thread with the fewest calls in flight. */
  files(call: FilesCall): Promise<FilesAnswer> {
    const w = this.workers.reduce((a, b) => (b.inFlight < a.inFlight ? b : a));
    return w.call<FilesAnswer>("files", call);
  }

  forget(root: BlockLocation, tenant: string, ulids: readonly string[]): void {
    for (const [w, list] of this.groups(ulids))
      w.call("forget", { root, tenant, ulids: list }).catch((err: unknown) =>
        this.base.log.warn({ err }, "query worker did not release a block"),
      );
  }
}
