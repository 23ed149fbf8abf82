export { ingester } from "./app.ts";
export { ingesterConfigOf } from "./config.ts";
export { Ingester } from "./ingester.ts";
export { ingesterRoutes } from "./rpc.ts";
export { Shipper } from "./shipper.ts";
export { DeletedTenants } from "./deleted-tenants.ts";
