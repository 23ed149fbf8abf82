import type { BlockMeta } from "@cinderblock/block-meta";
import type { RowSelection } from "@cinderblock/compact";
import type { BucketSpec } from "@cinderblock/objstore";

/** The bucket of a compaction thread. */
export interface CompactWorkerData {
  bucket: BucketSpec;
}

interface CompactCall {
  tenant: string;
  blocks: BlockMeta[];
  shards: number;
  splitBy: "fingerprint" | "stacktracePartition";
  downsample: boolean;
  memoryBytes: number;
  workDir: string;
}
export interface CompactAnswer {
  outputs: { meta: BlockMeta; dir: string }[];
  rows: number;
  duplicates: number;
  dropped: number;
}
/** Rewrites one block without some of its rows. */
interface RewriteCall {
  tenant: string;
  block: BlockMeta;
  drops: readonly RowSelection[];
  memoryBytes: number;
  workDir: string;
}
/** For each list of row selections to drop, counts the profiles that it would remove from each block. */
interface CountCall {
  tenant: string;
  blocks: readonly BlockMeta[];
  drops: readonly (readonly RowSelection[])[];
}
export interface CompactWorkerMethods {
  count(call: CountCall): Promise<{ counts: number[][] }>;
  compact(call: CompactCall): Promise<CompactAnswer>;
  rewrite(call: RewriteCall): Promise<CompactAnswer>;
}
