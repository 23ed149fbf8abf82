export { Ingester } from "./ingester.ts";
export type { IngesterConfig } from "./ingester.ts";
export { Shipper } from "./shipper.ts";
export { ingesterRoutes } from "./rpc.ts";
