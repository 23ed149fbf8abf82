export { QueryPool } from "./pool.ts";
export type { Levels, QueryWorkerData, RenderAnswer, RenderCall, Root } from "./protocol.ts";
