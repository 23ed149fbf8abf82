export { compactor } from "./app.ts";
export { compaction } from "./compaction.ts";
