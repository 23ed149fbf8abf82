export { createLogger } from "./log.ts";
export type { Logger } from "./log.ts";
export { Metrics, sizeBuckets, timeBuckets } from "./metrics.ts";
export type { Base } from "./base.ts";
export { noTracer, startTracing } from "./trace.ts";
export type { RequestSpan, Tracer } from "./trace.ts";
export type { TraceHeaders } from "./trace-context.ts";
