export { querier } from "./app.ts";
export { QuerierLoop } from "./querier-loop.ts";
export { Querier } from "./querier.ts";
