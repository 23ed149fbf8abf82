export { Distributor } from "./distributor.ts";
export type { WriteAnswer, WritePath } from "./distributor.ts";
export { distributorRoutes } from "./rpc.ts";
export { RingWritePath } from "./ring-write-path.ts";
