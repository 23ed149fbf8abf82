import type { SourceClient } from "@cinderblock/query";
import { internalMethod, type InternalMethods } from "@cinderblock/rpc";
import { tenantId, ulid } from "./checks.ts";
import { RemoteSource, sourceMethods } from "./source.ts";

/** What ingesters and the compactor ask of a store-gateway beside queries. */
export interface StoreContract extends SourceClient {
  /** knows the block from now on, if it is in the bucket */
  learn(tenant: string, ulid: string): Promise<boolean>;
  /** answers for the block, or for what it was compacted into */
  answers(tenant: string, ulid: string): Promise<boolean>;
}

export function storeMethods(store: StoreContract): InternalMethods {
  return {
    ...sourceMethods(store),
    learn: internalMethod([tenantId, ulid], (a) => store.learn(...a)),
    answers: internalMethod([tenantId, ulid], (a) => store.answers(...a)),
  };
}

export class RemoteStore extends RemoteSource implements StoreContract {
  learn(...a: [string, string]): Promise<boolean> {
    return this.ask("learn", a);
  }
  answers(...a: [string, string]): Promise<boolean> {
    return this.ask("answers", a);
  }
}
