import type { RetentionRule } from "@cinderblock/compact";

/** Limits of a tenant for its blocks. */
export interface CompactorLimits {
  /** 0: blocks are kept forever */
  retentionMs(tenant: string): number;
  splitShards(tenant: string): number;
  splitGroups(tenant: string): number;
  partialBlockDeletionDelayMs(tenant: string): number;
  downsample(tenant: string): boolean;
  /** series with a shorter retention */
  retentionRules(tenant: string): readonly RetentionRule[];
}
