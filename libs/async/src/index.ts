export { withDeadline } from "./deadline.ts";
export { type PassEnd, Periodic, type PeriodicClock, type PeriodicConfig } from "./periodic.ts";
export { Semaphore } from "./semaphore.ts";
export { type Pace, TimeSlices, UNPACED } from "./pace.ts";
export { Deferred, sleep, withTimeLimit, yieldToLoop } from "./timing.ts";
