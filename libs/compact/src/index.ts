export { compactBlocks, rewriteBlock } from "./compact.ts";
export { deletionRequests, requestDeletion, saveDeletion, tenantsWithDeletions } from "./deletions.ts";
export type { DeletionRequest, DeletionStep } from "./deletions.ts";
export type { RowSelection } from "./row-selection.ts";
export { countDroppedRows } from "./count-dropped-rows.ts";
export type { DropCount } from "./count-dropped-rows.ts";
export { outdatedBlocks, planJobs, replacementBlocksOf } from "./plan-jobs.ts";
export type { CompactionJob, PlanOptions } from "./plan-jobs.ts";
export type { CompactOptions, CompactResult } from "./compact.ts";
export { verifyBlock } from "./verify.ts";
export {
  blocksPrefix,
  deleteBlock,
  markForDeletion,
  markNoCompact,
  tenantMarkName,
  tenantsIn,
} from "./marks.ts";
export { BucketIndexUpdater } from "./bucket-index-updater.ts";
export { uploadBlock } from "./upload.ts";
export { parseRetentionRules } from "./retention-rules.ts";
export type { RetentionRule } from "./retention-rules.ts";
export { findAnomalies } from "./anomalies.ts";
export type { Anomaly } from "./anomalies.ts";
export { recordTenantDeletion, tenantDeletions } from "./deleted-tenants.ts";
