import type { RetentionRule } from "@cinderblock/compact";

/** What a tenant may set about its blocks. */
export interface CompactorLimits {
  /** 0: blocks are kept for ever */
  retentionMs(tenant: string): number;
  splitShards(tenant: string): number;
  splitGroups(tenant: string): number;
  partialBlockDeletionDelayMs(tenant: string): number;
  downsample(tenant: string): boolean;
  /** series that are kept for a shorter time than the rest */
  retentionRules(tenant: string): readonly RetentionRule[];
}
