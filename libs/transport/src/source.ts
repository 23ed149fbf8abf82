import type { BlockInfo, ExecuteAnswer, Exclusions, LabelAnswer, LabelAsk, RowKeys, SelectRequest, SeriesRanges, SourceClient, SourceQuery } from "@cinderblock/query";
import type { InternalClient, InternalMethods } from "@cinderblock/rpc";

type Of<M extends keyof SourceClient> = SourceClient[M] extends (...a: infer A) => unknown ? A : never;

/** A source of heads and blocks, as methods for other processes. */
export function sourceMethods(source: SourceClient): InternalMethods {
  return {
    blocks: (a: Of<"blocks">) => source.blocks(...a),
    execute: (a: Of<"execute">) => source.execute(...a),
    ranges: (a: Of<"ranges">) => source.ranges(...a),
    keys: (a: Of<"keys">) => source.keys(...a),
    labels: (a: Of<"labels">) => source.labels(...a),
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

  protected ask<T>(method: string, args: unknown): Promise<T> { return this.client.call<T>(this.address, this.service, method, args, { timeoutMs: this.timeoutMs }); }

  blocks(...a: [string, number, number]): Promise<BlockInfo[]> { return this.ask("blocks", a); }
  execute(...a: [string, readonly string[], SourceQuery, Exclusions]): Promise<ExecuteAnswer> { return this.ask("execute", a); }
  ranges(...a: [string, readonly string[], SelectRequest]): Promise<SeriesRanges[]> { return this.ask("ranges", a); }
  keys(...a: [string, readonly string[], SelectRequest]): Promise<RowKeys[]> { return this.ask("keys", a); }
  labels(...a: [string, readonly string[], LabelAsk]): Promise<LabelAnswer & { missing: string[] }> { return this.ask("labels", a); }
}
