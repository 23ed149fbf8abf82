export { Semaphore } from "./semaphore.ts";
export { Deferred, sleep, yieldToLoop } from "./timing.ts";
