export { QueryPool } from "./pool.ts";
export type { Levels, QueryWorkerData, RenderAnswer, RenderCall, Root, Sides } from "./protocol.ts";
