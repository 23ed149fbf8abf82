import type { RetentionRule } from "@cinderblock/compact";

/** Limits of a tenant for its blocks. */
export interface CompactorLimits {
  /** retention in milliseconds; 0: blocks are kept forever */
  retentionMs(tenant: string): number;
  splitShards(tenant: string): number;
  splitGroups(tenant: string): number;
  partialBlockDeletionDelayMs(tenant: string): number;
  downsample(tenant: string): boolean;
  /** rules for series with a shorter retention than their tenant's */
  retentionRules(tenant: string): readonly RetentionRule[];
}
