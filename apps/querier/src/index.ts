export { querier } from "./app.ts";
export { Querier, QuerierLoop } from "./querier.ts";
