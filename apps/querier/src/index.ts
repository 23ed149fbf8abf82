export { Querier, QuerierLoop } from "./querier.ts";
export type { JobSource, Sources } from "./querier.ts";
