export { queryScheduler } from "./app.ts";
export { QueryScheduler } from "./scheduler.ts";
