export { distributor } from "./app.ts";
export { Distributor } from "./distributor.ts";
export type { WritePath } from "./distributor.ts";
export { distributorRoutes } from "./rpc.ts";
