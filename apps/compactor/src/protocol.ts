import type { BlockMeta } from "@cinderblock/block-meta";

/** How a compaction thread reaches the bucket. */
export interface CompactWorkerData { bucketDirectory: string; bucketPrefix: string }

export interface CompactCall {
  tenant: string;
  blocks: BlockMeta[];
  shards: number;
  splitBy: "fingerprint" | "stacktracePartition";
  downsample: boolean;
  memoryBytes: number;
  workDir: string;
}
export interface CompactAnswer { outputs: { meta: BlockMeta; dir: string }[]; rows: number; duplicates: number }
export interface CompactWorkerMethods { compact(call: CompactCall): Promise<CompactAnswer> }
