export { withDeadline } from "./deadline.ts";
export { Semaphore } from "./semaphore.ts";
export { Deferred, sleep, within, yieldToLoop } from "./timing.ts";
