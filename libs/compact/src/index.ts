export { compactBlocks } from "./compact.ts";
export { outdatedBlocks, planJobs, replacementOf } from "./plan-jobs.ts";
export type { CompactionJob, PlanOptions } from "./plan-jobs.ts";
export type { CompactOptions, CompactResult } from "./compact.ts";
export { verifyBlock } from "./verify.ts";
export { blocksPrefix, deleteBlock, markForDeletion, markNoCompact, tenantMarkName, tenantsIn } from "./marks.ts";
export { BucketIndexUpdater } from "./bucket-index-updater.ts";
export { uploadBlock } from "./upload.ts";
