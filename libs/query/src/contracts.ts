import type { Label } from "@cinderblock/model";
import type { LabelSets, SourceForm } from "@cinderblock/block";
import type { TraceHeaders } from "@cinderblock/telemetry";
import type { Exclusions } from "./duplicates.ts";
import type { PartialResult, RowKeys, SourceQuery } from "./execute.ts";
import type { LabelQuery } from "./labels.ts";
import type { RowTimes } from "./row-times.ts";
import type { SelectRequest } from "./select.ts";

/** A head or a block, for planning. */
export interface BlockInfo {
  ulid: string;
  minTimeMs: number;
  maxTimeMs: number;
  level: number;
  sources: string[];
  parents: string[];
  shardId: string;
  hints: string[];
  /** rows that a head has now. An answer planned with this excludes later rows */
  rows?: number;
}

/** Time ranges of a source's series; `upTo` is the number of rows that the source had. */
export interface SeriesRanges {
  ulid: string;
  form: SourceForm;
  upTo: number;
  fingerprint: BigUint64Array;
  min: BigInt64Array;
  max: BigInt64Array;
}
/** Answer of one client to a label query. */
export interface LabelAnswer {
  names: string[];
  sets: Label[][];
  /** label sets as columns, for a request with `columns`; the same set may be in several */
  tables?: LabelSets[];
}

/** A partial result, and the requested ULIDs that the client lacks. */
export interface ExecuteAnswer {
  result: PartialResult | undefined;
  missing: string[];
  /** reason why native frames lack names that a later query may find */
  unnamed?: string;
}

/** Queries of a querier to an ingester or a store-gateway, in this process or over the network. */
export interface SourceClient {
  readonly name: string;
  /** resolves when the client responds; absent for a client in this process */
  ping?(timeoutMs: number): Promise<void>;
  /** heads and blocks of the tenant that overlap [startMs, endMs] */
  blocks(tenant: string, startMs: number, endMs: number, until?: Deadline): Promise<BlockInfo[]>;
  execute(
    tenant: string,
    ulids: readonly string[],
    query: SourceQuery,
    exclude: Exclusions,
    until?: Deadline,
  ): Promise<ExecuteAnswer>;
  ranges(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<SeriesRanges[]>;
  /** times of the rows that `keys` returns; absent or undefined for a client of the previous release */
  times?(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<RowTimes[] | undefined>;
  keys(tenant: string, ulids: readonly string[], select: SelectRequest, until?: Deadline): Promise<RowKeys[]>;
  labels(
    tenant: string,
    ulids: readonly string[],
    ask: LabelRequest,
    until?: Deadline,
  ): Promise<LabelAnswer & { missing: string[] }>;
}

/** End of a caller's interest in an answer: a time, or an abort when no caller waits any more. */
export interface Deadline {
  deadlineMs: number;
  signal: AbortSignal;
}

/** A query about labels: names, values of one name, or label sets. */
export type LabelRequest =
  | { kind: "names"; query: LabelQuery }
  | { kind: "values"; name: string; query: LabelQuery }
  | {
      kind: "series";
      names: string[];
      query: LabelQuery;
      /** answer in `tables`; absent: the caller is of the previous release and reads `sets` */
      columns?: boolean;
    };

/** A job in the query queue: frontends add jobs, queriers take them. */
export type QueryJob = (
  | { kind: "select"; query: SourceQuery }
  /** `columns`: answer in `tables`; absent: the frontend is of the previous release and reads `sets` */
  | { kind: "labels"; ask: LabelRequest; columns?: boolean }
  | { kind: "blocks"; startMs: number; endMs: number }
  | { kind: "digests"; ranges: { startMs: number; endMs: number }[] }
) & {
  /**
   * ID of the query that this job is a sub-query of, and the index of the sub-query; absent: the job is the
   * complete query
   */
  of?: { query: string; part: number };
  /**
   * end offsets of the topic's partitions when the query arrived: the answer must include all earlier records
   */
  ends?: number[];
  /**
   * topic of the offsets in `ends`; absent: the brokers report no topic IDs, or the frontend runs the
   * previous release
   */
  topicId?: string;
};

/** Result of a query job, by the kind of the job. */
export type JobResult =
  /**
   * `digest` identifies the sources of the answer: a cached answer with an equal digest is valid; "": do not
   * cache the answer
   */
  | { kind: "select"; parts: PartialResult[]; warnings: string[]; digest: string }
  | { kind: "digests"; digests: string[]; warnings: string[] }
  | { kind: "labels"; answer: LabelAnswer; warnings: string[] }
  | {
      kind: "blocks";
      recent: BlockInfo[];
      stored: BlockInfo[];
      /** ULIDs that a query of the range reads; absent from a querier of the previous release */
      chosen?: string[];
      warnings: string[];
    };

/**
 * A job that a querier has taken: call exactly one of `done` and `fail`. `signal` aborts when no caller waits
 * any more.
 */
export interface AssignedJob {
  tenant: string;
  /** span of the request that queued the job; absent: the request has no trace */
  trace?: TraceHeaders;
  job: QueryJob;
  deadlineMs: number;
  signal: AbortSignal;
  done: (result: JobResult) => void;
  fail: (err: unknown) => void;
}
