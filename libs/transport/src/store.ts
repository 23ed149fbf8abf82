import { StoreGatewayService } from "@cinderblock/api";
import type { SourceClient } from "@cinderblock/query";
import type { Client, InternalClient, InternalHandlers } from "@cinderblock/rpc";
import { tenantId, ulid } from "./checks.ts";
import { RemoteSource } from "./source.ts";

/** Calls of ingesters and the compactor to a store-gateway, in addition to queries. */
export interface StoreContract extends SourceClient {
  /** registers a block if the bucket has it; returns whether it is known now */
  registerBlock(tenant: string, ulid: string): Promise<boolean>;
  /** whether it can serve the block, or the blocks that it was compacted into */
  canServe(tenant: string, ulid: string): Promise<boolean>;
}

/** The service of a store-gateway, in addition to that of its blocks. */
export function storeHandlers(
  store: Pick<StoreContract, "registerBlock" | "canServe">,
): InternalHandlers<typeof StoreGatewayService> {
  return {
    registerBlock: async (r) => ({ known: await store.registerBlock(tenantId(r.tenant), ulid(r.ulid)) }),
    canServe: async (r) => ({ serves: await store.canServe(tenantId(r.tenant), ulid(r.ulid)) }),
  };
}

/** A store-gateway in another process. */
export class RemoteStore extends RemoteSource implements StoreContract {
  private readonly store: Client<typeof StoreGatewayService>;

  constructor(client: InternalClient, id: string, address: string, timeoutMs: number) {
    super(client, id, address, timeoutMs);
    this.store = client.of(StoreGatewayService, address);
  }
  async registerBlock(tenant: string, ulid: string): Promise<boolean> {
    return (await this.store.registerBlock({ tenant, ulid }, this.within())).known;
  }
  async canServe(tenant: string, ulid: string): Promise<boolean> {
    return (await this.store.canServe({ tenant, ulid }, this.within())).serves;
  }
}
