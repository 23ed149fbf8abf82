export { compactor } from "./app.ts";
export { createCompaction } from "./compaction.ts";
