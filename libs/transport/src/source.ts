import type {
  BlockInfo,
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
  Deadline,
} from "@cinderblock/query";
import {
  type InternalClient,
  internalMethod,
  type InternalMethods,
  number,
  optional,
  record,
  UnknownMethodError,
} from "@cinderblock/rpc";
import { tenantId, ulids } from "./checks.ts";

/** Excluded rows in the form of the previous release: only row numbers. */
function toRows(exclude: Exclusions): Record<string, Uint32Array> {
  return Object.fromEntries(Object.entries(exclude).map(([ulid, e]) => [ulid, e.rows]));
}
function fromRows(rows: Record<string, Uint32Array>): Exclusions {
  return Object.fromEntries(Object.entries(rows).map(([ulid, r]) => [ulid, { upTo: -1, rows: r }]));
}

/** Internal methods of a source of heads and blocks. The connection carries the deadline. */
export function sourceMethods(source: SourceClient): InternalMethods {
  const until = (signal: AbortSignal): Deadline => ({ deadlineMs: Infinity, signal });
  const select = record<SelectRequest>();
  return {
    ping: internalMethod([], () => Promise.resolve(true)),
    blocks: internalMethod([tenantId, number, number], ([tenant, startMs, endMs], signal) =>
      source.blocks(tenant, startMs, endMs, until(signal)),
    ),
    execute: internalMethod(
      [
        tenantId,
        ulids,
        record<SourceQuery>(),
        record<Record<string, Uint32Array>>(),
        optional(record<Exclusions>()),
      ],
      ([tenant, blocks, query, rows, exclude], signal) =>
        source.execute(tenant, blocks, query, exclude ?? fromRows(rows), until(signal)),
    ),
    ranges: internalMethod([tenantId, ulids, select], ([tenant, blocks, s], signal) =>
      source.ranges(tenant, blocks, s, until(signal)),
    ),
    times: internalMethod(
      [tenantId, ulids, select],
      ([tenant, blocks, s], signal) =>
        source.times?.(tenant, blocks, s, until(signal)) ?? Promise.resolve(undefined),
    ),
    keys: internalMethod([tenantId, ulids, select], ([tenant, blocks, s], signal) =>
      source.keys(tenant, blocks, s, until(signal)),
    ),
    labels: internalMethod([tenantId, ulids, record<LabelRequest>()], ([tenant, blocks, ask], signal) =>
      source.labels(tenant, blocks, ask, until(signal)),
    ),
  };
}

/** A source in another process. */
export class RemoteSource implements SourceClient {
  readonly name: string;
  private readonly client: InternalClient;
  private readonly service: string;
  private readonly address: string;
  private readonly timeoutMs: number;

  constructor(client: InternalClient, service: string, id: string, address: string, timeoutMs: number) {
    this.client = client;
    this.service = service;
    this.name = id;
    this.address = address;
    this.timeoutMs = timeoutMs;
  }

  /**
   * Calls a method. The call ends when its caller leaves or the deadline passes; the closed connection tells
   * the other process.
   */
  protected ask<T>(method: string, args: unknown, until?: Deadline): Promise<T> {
    const timeoutMs = Math.max(1, Math.min(this.timeoutMs, (until?.deadlineMs ?? Infinity) - Date.now()));
    return this.client.call<T>(this.address, this.service, method, args, {
      timeoutMs,
      signal: until?.signal,
    });
  }

  async ping(timeoutMs: number): Promise<void> {
    await this.client.call(this.address, this.service, "ping", [], { timeoutMs });
  }
  blocks(tenant: string, startMs: number, endMs: number, until?: Deadline): Promise<BlockInfo[]> {
    return this.ask("blocks", [tenant, startMs, endMs], until);
  }
  execute(
    tenant: string,
    ulids: readonly string[],
    query: SourceQuery,
    exclude: Exclusions,
    until?: Deadline,
  ): Promise<ExecuteAnswer> {
    return this.ask("execute", [tenant, ulids, query, toRows(exclude), exclude], until);
  }
  async ranges(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<SeriesRanges[]> {
    return (
      await this.ask<(Omit<SeriesRanges, "form" | "upTo"> & Partial<SeriesRanges>)[]>(
        "ranges",
        [tenant, ulids, select],
        until,
      )
    ).map((r) => ({ ...r, form: r.form ?? "block", upTo: r.upTo ?? -1 }));
  }
  async times(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<RowTimes[] | undefined> {
    try {
      return (await this.ask<RowTimes[] | null>("times", [tenant, ulids, select], until)) ?? undefined;
    } catch (err) {
      if (err instanceof UnknownMethodError) return undefined; // the previous release has no such method
      throw err;
    }
  }
  async keys(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<RowKeys[]> {
    return (
      (
        await this.ask<(Omit<RowKeys, "form" | "upTo" | "total"> & Partial<RowKeys>)[]>(
          "keys",
          [tenant, ulids, select],
          until,
        )
      )
        // Use a huge sum for rows of the previous release, which reports none: of equal rows, the smallest
        // sum stays.
        .map((k) => ({
          ...k,
          form: k.form ?? "block",
          upTo: k.upTo ?? -1,
          total: k.total ?? new BigInt64Array(k.row.length).fill(2n ** 62n),
        }))
    );
  }
  labels(
    tenant: string,
    ulids: readonly string[],
    ask: LabelRequest,
    until?: Deadline,
  ): Promise<LabelAnswer & { missing: string[] }> {
    return this.ask("labels", [tenant, ulids, ask], until);
  }
}
