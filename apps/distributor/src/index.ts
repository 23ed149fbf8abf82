export { Distributor } from "./distributor.ts";
export type { WritePath } from "./distributor.ts";
export { distributorRoutes } from "./rpc.ts";
export { RingWritePath } from "./ring-write-path.ts";
