import type { BlockInfo, ExecuteAnswer, Exclusions, LabelAnswer, LabelAsk, RowKeys, SelectRequest, SeriesRanges, SourceClient, SourceQuery, Until } from "@cinderblock/query";
import type { InternalClient, InternalMethods } from "@cinderblock/rpc";

type Of<M extends keyof SourceClient> = SourceClient[M] extends (...a: infer A) => unknown ? A : never;

/** A source of heads and blocks, as methods for other processes. Their deadline is the connection's. */
export function sourceMethods(source: SourceClient): InternalMethods {
  return {
    ping: () => Promise.resolve(true),
    blocks: ([tenant, startMs, endMs]: Of<"blocks">, signal: AbortSignal) => source.blocks(tenant, startMs, endMs, { deadlineMs: Infinity, signal }),
    execute: ([tenant, ulids, query, exclude]: Of<"execute">, signal: AbortSignal) => source.execute(tenant, ulids, query, exclude, { deadlineMs: Infinity, signal }),
    ranges: ([tenant, ulids, select]: Of<"ranges">, signal: AbortSignal) => source.ranges(tenant, ulids, select, { deadlineMs: Infinity, signal }),
    keys: ([tenant, ulids, select]: Of<"keys">, signal: AbortSignal) => source.keys(tenant, ulids, select, { deadlineMs: Infinity, signal }),
    labels: ([tenant, ulids, ask]: Of<"labels">, signal: AbortSignal) => source.labels(tenant, ulids, ask, { deadlineMs: Infinity, signal }),
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

  /** Whoever asked has gone, or their time is over: the call ends, and the other process is told by its connection. */
  protected ask<T>(method: string, args: unknown, until?: Until): Promise<T> {
    const timeoutMs = Math.max(1, Math.min(this.timeoutMs, (until?.deadlineMs ?? Infinity) - Date.now()));
    return this.client.call<T>(this.address, this.service, method, args, { timeoutMs, signal: until?.signal });
  }

  async ping(timeoutMs: number): Promise<void> { await this.client.call(this.address, this.service, "ping", [], { timeoutMs }); }
  blocks(tenant: string, startMs: number, endMs: number, until?: Until): Promise<BlockInfo[]> { return this.ask("blocks", [tenant, startMs, endMs], until); }
  execute(tenant: string, ulids: readonly string[], query: SourceQuery, exclude: Exclusions, until?: Until): Promise<ExecuteAnswer> { return this.ask("execute", [tenant, ulids, query, exclude], until); }
  ranges(tenant: string, ulids: readonly string[], select: SelectRequest, until?: Until): Promise<SeriesRanges[]> { return this.ask("ranges", [tenant, ulids, select], until); }
  keys(tenant: string, ulids: readonly string[], select: SelectRequest, until?: Until): Promise<RowKeys[]> { return this.ask("keys", [tenant, ulids, select], until); }
  labels(tenant: string, ulids: readonly string[], ask: LabelAsk, until?: Until): Promise<LabelAnswer & { missing: string[] }> { return this.ask("labels", [tenant, ulids, ask], until); }
}
