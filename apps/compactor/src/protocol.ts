import type { BlockMeta } from "@cinderblock/block-meta";
import type { BucketSpec } from "@cinderblock/objstore";

/** How a compaction thread reaches the bucket. */
export interface CompactWorkerData { bucket: BucketSpec }

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
