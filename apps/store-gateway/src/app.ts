import { type Component, STORES } from "@cinderblock/runtime";
import { storeMethods } from "@cinderblock/transport";
import { storeConfigOf, storeSchema } from "./config.ts";
import { storePages } from "./pages.ts";
import { StoreGateway } from "./store-gateway.ts";

/** Answers queries from the blocks in the bucket. */
export const storeGateway: Component<typeof storeSchema> = {
  name: "store-gateway",
  schema: storeSchema,
  async wire(config, process) {
    const bucket = await process.resources.bucket(),
      store = new StoreGateway(storeConfigOf(config), bucket, process.addPool(), process.base);
    const me = process.member(STORES, 1);
    process.view(STORES);
    process.add(me, store);
    process.becomeActive(me);
    process.serveInternal("StoreGateway", storeMethods(store));
    process.serve(storePages(store, bucket));
  },
};
