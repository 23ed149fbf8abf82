import { SourceService } from "@cinderblock/api";
import type {
  BlockInfo,
  Deadline,
  ExecuteAnswer,
  Exclusions,
  LabelAnswer,
  LabelRequest,
  RowKeys,
  RowTimes,
  SelectRequest,
  SeriesRanges,
  SourceClient,
  SourceQuery,
} from "@cinderblock/query";
import type { Client, InternalClient, InternalHandlers } from "@cinderblock/rpc";
import { tenantId, ulids } from "./checks.ts";
import {
  fromLabelRequest,
  fromSelect,
  fromSourceQuery,
  toLabelRequest,
  toSelect,
  toSourceQuery,
} from "./wire/query.ts";
import { fromLabelAnswer, fromPartialResult, toLabelAnswer, toPartialResult } from "./wire/result.ts";
import {
  fromBlockInfo,
  fromExclusions,
  fromRowKeys,
  fromRowTimes,
  fromSeriesRanges,
  toBlockInfo,
  toExclusions,
  toRowKeys,
  toRowTimes,
  toSeriesRanges,
} from "./wire/rows.ts";

/** The service of heads and blocks. The call carries the deadline. */
export function sourceHandlers(source: SourceClient): InternalHandlers<typeof SourceService> {
  const until = (signal: AbortSignal): Deadline => ({ deadlineMs: Infinity, signal });
  return {
    ping: () => Promise.resolve({}),
    listBlocks: async ({ tenant, startMs, endMs }, signal) => ({
      blocks: (await source.blocks(tenantId(tenant), startMs, endMs, until(signal))).map(toBlockInfo),
    }),
    execute: async ({ tenant, ulids: blocks, query, exclude }, signal) => {
      const { result, missing, unnamed } = await source.execute(
        tenantId(tenant),
        ulids(blocks),
        fromSourceQuery(query),
        fromExclusions(exclude),
        until(signal),
      );
      return { missing, unnamed: unnamed ?? "", ...(result ? { result: toPartialResult(result) } : {}) };
    },
    seriesRanges: async ({ tenant, ulids: blocks, select }, signal) => ({
      ranges: (await source.ranges(tenantId(tenant), ulids(blocks), fromSelect(select), until(signal))).map(
        toSeriesRanges,
      ),
    }),
    rowTimes: async ({ tenant, ulids: blocks, select }, signal) => {
      const times = await source.times?.(tenantId(tenant), ulids(blocks), fromSelect(select), until(signal));
      return { times: (times ?? []).map(toRowTimes), unknown: times === undefined };
    },
    rowKeys: async ({ tenant, ulids: blocks, select }, signal) => ({
      keys: (await source.keys(tenantId(tenant), ulids(blocks), fromSelect(select), until(signal))).map(
        toRowKeys,
      ),
    }),
    labels: async ({ tenant, ulids: blocks, ask }, signal) => {
      const { missing, ...answer } = await source.labels(
        tenantId(tenant),
        ulids(blocks),
        fromLabelRequest(ask),
        until(signal),
      );
      return { answer: toLabelAnswer(answer), missing };
    },
  };
}

/** A source in another process. */
export class RemoteSource implements SourceClient {
  readonly name: string;
  private readonly source: Client<typeof SourceService>;
  private readonly timeoutMs: number;

  constructor(client: InternalClient, id: string, address: string, timeoutMs: number) {
    this.name = id;
    this.source = client.of(SourceService, address);
    this.timeoutMs = timeoutMs;
  }

  /**
   * Options of a call, which ends when its caller leaves or the deadline passes; the closed connection tells
   * the other process.
   */
  protected within(until?: Deadline): { timeoutMs: number; signal?: AbortSignal } {
    const left = (until?.deadlineMs ?? Infinity) - Date.now();
    return {
      timeoutMs: Math.max(1, Math.min(this.timeoutMs, left)),
      ...(until ? { signal: until.signal } : {}),
    };
  }

  async ping(timeoutMs: number): Promise<void> {
    await this.source.ping({}, { timeoutMs });
  }
  async blocks(tenant: string, startMs: number, endMs: number, until?: Deadline): Promise<BlockInfo[]> {
    const { blocks } = await this.source.listBlocks({ tenant, startMs, endMs }, this.within(until));
    return blocks.map(fromBlockInfo);
  }
  async execute(
    tenant: string,
    ulids: readonly string[],
    query: SourceQuery,
    exclude: Exclusions,
    until?: Deadline,
  ): Promise<ExecuteAnswer> {
    const { result, missing, unnamed } = await this.source.execute(
      { tenant, ulids: [...ulids], query: toSourceQuery(query), exclude: toExclusions(exclude) },
      this.within(until),
    );
    return {
      result: result && fromPartialResult(result),
      missing,
      ...(unnamed === "" ? {} : { unnamed }),
    };
  }
  async ranges(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<SeriesRanges[]> {
    const request = { tenant, ulids: [...ulids], select: toSelect(select) };
    return (await this.source.seriesRanges(request, this.within(until))).ranges.map(fromSeriesRanges);
  }
  async times(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<RowTimes[] | undefined> {
    const request = { tenant, ulids: [...ulids], select: toSelect(select) };
    const { times, unknown } = await this.source.rowTimes(request, this.within(until));
    return unknown ? undefined : times.map(fromRowTimes);
  }
  async keys(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<RowKeys[]> {
    const request = { tenant, ulids: [...ulids], select: toSelect(select) };
    return (await this.source.rowKeys(request, this.within(until))).keys.map(fromRowKeys);
  }
  async labels(
    tenant: string,
    ulids: readonly string[],
    ask: LabelRequest,
    until?: Deadline,
  ): Promise<LabelAnswer & { missing: string[] }> {
    const request = { tenant, ulids: [...ulids], ask: toLabelRequest(ask) };
    const { answer, missing } = await this.source.labels(request, this.within(until));
    return { ...fromLabelAnswer(answer), missing };
  }
}
