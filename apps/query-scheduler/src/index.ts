export { QueryScheduler } from "./scheduler.ts";
export type { Taken } from "./scheduler.ts";
