import type { BlockMeta } from "@cinderblock/block-meta";
import type { Head } from "./head.ts";
import type { LoggedSymbols } from "./log-records.ts";

/** Options of one shard of heads. */
export interface ShardOptions {
  /** position of this shard; its log lies in `<dataPath>/.cinderblock/log/shard-<n>` */
  shard: number;
  dataPath: string;
  windowNanos: bigint;
  /** memory limit of all heads together; cuts start at half of it */
  headBytes: number;
  /** limit of the log that no block covers; above it the heads in the oldest segments are cut */
  logBytes: number;
  segmentBytes: number;
  /** idle time after which a head is cut once its window is over, in milliseconds */
  idleMs: number;
  sync: boolean;
  onFailure: (err: Error) => void;
  /** called when a block is finished; the block is in the tenant's `local/` */
  onBlock: (tenant: string, meta: BlockMeta) => void;
  /** called with the memory of the heads after each measurement */
  onMemory?: (usedBytes: number) => void;
  /** makes room on a full disk; true: the failed write is tried again at once */
  onNoSpace?: () => boolean;
  /** called when a write of the log or of a block found no room, and when the log continues (`undefined`) */
  onUnwritable?: (operation: "log" | "block", err: Error | undefined) => void;
  /** calls a function after some milliseconds; tests replace it */
  later?: (ms: number, run: () => void) => void;
  now: () => number;
}

/** Figures of a shard, for metrics and for status pages. */
export interface ShardStats {
  heads: number;
  series: number;
  rows: number;
  /** creation time of the oldest head; Infinity without a head */
  oldestHeadMs: number;
  headBytes: number;
  logBytes: number;
  syncs: number;
  cuts: number;
  firstCumulative: number;
}

/** A head with the state of its log and its cut. */
export interface OpenHead {
  readonly head: Head;
  readonly ulid: string;
  readonly headNo: number;
  logged: LoggedSymbols[];
  loggedSeries: number;
  /** bytes of its last anchor record, and of its records since then */
  anchorBytes: number;
  sinceAnchor: number;
  cutting: Promise<void> | undefined;
  /** set once the head is a block, while its `done` record is not on disk */
  block: { meta: BlockMeta | undefined } | undefined;
}

/** State of a head without log records. */
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
