export { createLogger } from "./log.ts";
export type { Logger } from "./log.ts";
export { Metrics, sizeBuckets, timeBuckets } from "./metrics.ts";
export type { Base } from "./base.ts";
