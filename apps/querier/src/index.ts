export { Querier, QuerierLoop } from "./querier.ts";
export type { JobSource } from "./querier.ts";
