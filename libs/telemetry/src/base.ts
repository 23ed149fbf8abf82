import type { Logger } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Tracer } from "./trace.ts";

/** What everything needs, passed in, never imported as a global. */
export interface Base {
  log: Logger;
  metrics: Metrics;
  tracer: Tracer;
  now: () => number;
}
