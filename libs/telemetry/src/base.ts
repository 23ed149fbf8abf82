import type { Logger } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Tracer } from "./trace.ts";

/** Logger, metrics and other basics that all parts receive as an argument instead of a global. */
export interface Base {
  log: Logger;
  metrics: Metrics;
  tracer: Tracer;
  now: () => number;
}
