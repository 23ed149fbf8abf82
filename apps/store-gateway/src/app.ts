import { SourceService, StoreGatewayService } from "@cinderblock/api";
import { internalService } from "@cinderblock/rpc";
import { type Component, STORES } from "@cinderblock/runtime";
import { sourceHandlers, storeHandlers } from "@cinderblock/transport";
import { storeConfigOf, storeSchema } from "./config.ts";
import { storePages } from "./pages.ts";
import { StoreGateway } from "./store-gateway.ts";

/** Answers queries from the blocks in the bucket. */
export const storeGateway: Component<typeof storeSchema> = {
  name: "store-gateway",
  schema: storeSchema,
  async wire(config, host) {
    const bucket = await host.resources.bucket(),
      store = new StoreGateway(storeConfigOf(config), bucket, host.addPool(), host.base);
    const me = host.ringMember(STORES, 1);
    host.ringView(STORES);
    host.addServices(me, store);
    host.becomeActive(me);
    host.serveInternal(
      internalService(SourceService, sourceHandlers(store)),
      internalService(StoreGatewayService, storeHandlers(store)),
    );
    host.addRoutes(storePages(store, bucket));
  },
};
