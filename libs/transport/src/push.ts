import type { PushAnswer, RawPush } from "@cinderblock/ingest";
import {
  type InternalClient,
  internalMethod,
  type InternalMethods,
  text,
  UnknownMethodError,
} from "@cinderblock/rpc";
import { bytes, rawPush, tenantId } from "./checks.ts";
import { type PushRecord, PushRecordDecoder } from "./record.ts";

/** Stores pushes whose limits are decided; resolves when they are durable. */
export interface PushTarget {
  /** @param record the encoded push, the same bytes for all replicas */
  store(push: PushRecord, record: Uint8Array, timeoutMs: number): Promise<PushAnswer>;
}

/**
 * Methods of an ingester for writes. Distributors of this release send records, which carry all decisions
 * about a push. `push` and `pushAggregate` serve distributors of the previous release, whose ingesters
 * decided limits themselves.
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

/** The write methods of an ingester in another process. */
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
      if (!(err instanceof UnknownMethodError)) throw err;
      // Without the method `pushRecord`, the ingester is of the previous release: call its methods.
      return call(push.push.kind === "aggregate" ? "pushAggregate" : "push", [
        push.tenant,
        push.service,
        push.push,
      ]);
    }
  }
}
