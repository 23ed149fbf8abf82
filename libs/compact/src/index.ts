export { compactBlocks } from "./compact.ts";
export { outdatedBlocks, planJobs, replacementOf } from "./plan-jobs.ts";
export type { CompactionJob, PlanOptions } from "./plan-jobs.ts";
export type { CompactOptions, CompactResult } from "./compact.ts";
export { verifyBlock } from "./verify.ts";
