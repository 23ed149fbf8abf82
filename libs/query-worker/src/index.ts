export { QueryPool } from "./pool.ts";
export type { FilesAnswer, FilesCall, Levels, QueryWorkerData, RenderAnswer, RenderCall, Root, Sides } from "./protocol.ts";
