import { CinderblockError } from "@cinderblock/errors";
import type { PushAnswer, RawPush } from "@cinderblock/ingest";
import { type InternalClient, internalMethod, type InternalMethods, text } from "@cinderblock/rpc";
import { bytes, rawPush, tenantId } from "./checks.ts";
import { type PushRecord, PushRecordDecoder } from "./record.ts";

/** Stores decided pushes and resolves when they are durable. */
export interface PushTarget {
  /** @param record the push as encoded, the same bytes for all replicas */
  store(push: PushRecord, record: Uint8Array, timeoutMs: number): Promise<PushAnswer>;
}

/**
 * Methods of an ingester for writes. Distributors of this release send records: all that is decided about a push travels with
 * it. `push` and `pushAggregate` are for those of the release before, whose ingesters decided limits by themselves.
 */
export function pushMethods(
  store: (push: PushRecord) => Promise<PushAnswer>,
  take: (tenant: string, service: string, push: RawPush) => Promise<PushAnswer>,
): InternalMethods {
  const push = internalMethod([tenantId, text, rawPush], (a) => take(...a)),
    decoder = new PushRecordDecoder();
  return {
    push,
    pushAggregate: push,
    pushRecord: internalMethod([bytes], ([record]) => store(decoder.decode(record))),
  };
}

/** An ingester in another process, for writes. */
export class RemotePush implements PushTarget {
  private readonly client: InternalClient;
  private readonly address: string;
  constructor(client: InternalClient, address: string) {
    this.client = client;
    this.address = address;
  }
  async store(push: PushRecord, record: Uint8Array, timeoutMs: number): Promise<PushAnswer> {
    const call = (method: string, args: unknown[]): Promise<PushAnswer> =>
      this.client.call(this.address, "Ingester", method, args, { timeoutMs });
    try {
      return await call("pushRecord", [record]);
    } catch (err) {
      if (!(err instanceof CinderblockError) || err.detail.status !== 404) throw err;
      // An ingester of the release before, during an upgrade.
      return call(push.push.kind === "aggregate" ? "pushAggregate" : "push", [
        push.tenant,
        push.service,
        push.push,
      ]);
    }
  }
}
