export { QueryScheduler } from "./scheduler.ts";
