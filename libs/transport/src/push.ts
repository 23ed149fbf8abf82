import type { PushAnswer, RawPush } from "@cinderblock/ingest";
import { type InternalClient, internalMethod, type InternalMethods, text } from "@cinderblock/rpc";
import { rawPush, tenantId } from "./checks.ts";

/** Takes a push and resolves when it is durable. */
export interface PushTarget {
  push(tenant: string, service: string, push: RawPush, timeoutMs: number): Promise<PushAnswer>;
}

/** An aggregate has a method of its own: an ingester that knows none says so, and stores nothing else. */
export function pushMethod(
  take: (tenant: string, service: string, push: RawPush) => Promise<PushAnswer>,
): InternalMethods {
  const push = internalMethod([tenantId, text, rawPush], (a) => take(...a));
  return { push, pushAggregate: push };
}

/** An ingester in another process, for writes. */
export class RemotePush implements PushTarget {
  private readonly client: InternalClient;
  private readonly address: string;
  constructor(client: InternalClient, address: string) {
    this.client = client;
    this.address = address;
  }
  push(tenant: string, service: string, push: RawPush, timeoutMs: number): Promise<PushAnswer> {
    return this.client.call(
      this.address,
      "Ingester",
      push.kind === "aggregate" ? "pushAggregate" : "push",
      [tenant, service, push],
      { timeoutMs },
    );
  }
}
