import type { SourceClient } from "@cinderblock/query";
import { internalMethod, type InternalMethods } from "@cinderblock/rpc";
import { tenantId, ulid } from "./checks.ts";
import { RemoteSource, sourceMethods } from "./source.ts";

/** Calls of ingesters and the compactor to a store-gateway, in addition to queries. */
export interface StoreContract extends SourceClient {
  /** registers a block if the bucket has it; returns whether it is known now */
  registerBlock(tenant: string, ulid: string): Promise<boolean>;
  /** whether it can serve the block, or the blocks that it was compacted into */
  canServe(tenant: string, ulid: string): Promise<boolean>;
}

/** Internal methods of a store-gateway. */
export function storeMethods(store: StoreContract): InternalMethods {
  return {
    ...sourceMethods(store),
    learn: internalMethod([tenantId, ulid], (a) => store.registerBlock(...a)),
    answers: internalMethod([tenantId, ulid], (a) => store.canServe(...a)),
  };
}

/** A store-gateway in another process. */
export class RemoteStore extends RemoteSource implements StoreContract {
  registerBlock(...a: [string, string]): Promise<boolean> {
    return this.ask("learn", a);
  }
  canServe(...a: [string, string]): Promise<boolean> {
    return this.ask("answers", a);
  }
}
