import type { BlockMeta } from "@cinderblock/block-meta";
import type { Head } from "./head.ts";
import type { Logged } from "./log-records.ts";

export interface ShardOptions {
  /** position of this shard; its log lies in `<dataPath>/.cinderblock/log/shard-<n>` */
  shard: number;
  dataPath: string;
  windowNanos: bigint;
  /** heads together may use this much memory; the largest is cut at half of it */
  headBytes: number;
  /** log that no block covers yet may grow to this; then the largest head is cut */
  logBytes: number;
  segmentBytes: number;
  /** a head whose window is over is cut after this much time without a write */
  idleMs: number;
  sync: boolean;
  onFailure: (err: Error) => void;
  /** told when a block is finished: it lies in the tenant's `local/` */
  onBlock: (tenant: string, meta: BlockMeta) => void;
  /** told what the heads use, whenever that was measured */
  onMemory?: (usedBytes: number) => void;
  /** makes room on a full disk; true: what found none is tried again at once */
  onNoSpace?: () => boolean;
  /** told when a write of the log or of a block found no room, and when the log goes on (`undefined`) */
  onUnwritable?: (operation: "log" | "block", err: Error | undefined) => void;
  /** calls a function after some milliseconds; a test has its own */
  later?: (ms: number, run: () => void) => void;
  now: () => number;
}

export interface ShardStats {
  heads: number;
  series: number;
  rows: number;
  /** when the oldest head was begun; Infinity without one */
  oldestHeadMs: number;
  headBytes: number;
  logBytes: number;
  syncs: number;
  cuts: number;
  firstCumulative: number;
}

/** A head with what its shard knows of its log and its cut. */
export interface OpenHead {
  readonly head: Head;
  readonly ulid: string;
  readonly headNo: number;
  logged: Logged[];
  loggedSeries: number;
  /** bytes of its last anchor record, and of its records since */
  anchorBytes: number;
  sinceAnchor: number;
  cutting: Promise<void> | undefined;
  /** set once the head is a block, while the end of its log is not on disk */
  block: { meta: BlockMeta | undefined } | undefined;
}

export function newOpenHead(head: Head, headNo: number): OpenHead {
  return {
    head,
    ulid: head.ulid,
    headNo,
    logged: [],
    loggedSeries: 0,
    anchorBytes: 0,
    sinceAnchor: 0,
    cutting: undefined,
    block: undefined,
  };
}
