import type { Label } from "@cinderblock/model";
import type { SourceForm } from "@cinderblock/block";
import type { Exclusions } from "./duplicates.ts";
import type { LabelQuery, PartialResult, RowKeys, SourceQuery } from "./execute.ts";
import type { RowTimes } from "./row-times.ts";
import type { SelectRequest } from "./select.ts";

/** A head or a block as planning sees it. */
export interface BlockInfo {
  ulid: string;
  minTimeMs: number;
  maxTimeMs: number;
  level: number;
  sources: string[];
  parents: string[];
  shardId: string;
  hints: string[];
  /** of a head: rows that it has now. What comes to it later is not part of an answer that is planned with this */
  rows?: number;
}

/** Time ranges of a source's series; `upTo` is how many rows it had. */
export interface SeriesRanges {
  ulid: string;
  form: SourceForm;
  upTo: number;
  fingerprint: BigUint64Array;
  min: BigInt64Array;
  max: BigInt64Array;
}
/** What a label question returns from one client. */
export interface LabelAnswer {
  names: string[];
  sets: Label[][];
}

/** A partial result and the ULIDs that the client turned out not to have. */
export interface ExecuteAnswer {
  result: PartialResult | undefined;
  missing: string[];
  /** why native frames are without names that may be there when it is asked again */
  unnamed?: string;
}

/** What a querier asks of an ingester or a store-gateway: in process, or over the network later. */
export interface SourceClient {
  readonly name: string;
  /** resolves when it lives; absent where it lives as long as this process does */
  ping?(timeoutMs: number): Promise<void>;
  /** heads and blocks of the tenant that overlap [startMs, endMs] */
  blocks(tenant: string, startMs: number, endMs: number, until?: Until): Promise<BlockInfo[]>;
  execute(
    tenant: string,
    ulids: readonly string[],
    query: SourceQuery,
    exclude: Exclusions,
    until?: Until,
  ): Promise<ExecuteAnswer>;
  ranges(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Until,
  ): Promise<SeriesRanges[]>;
  /** times of the rows that `keys` returns; absent or undefined for a client of the previous release */
  times?(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Until,
  ): Promise<RowTimes[] | undefined>;
  keys(tenant: string, ulids: readonly string[], select: SelectRequest, until?: Until): Promise<RowKeys[]>;
  labels(
    tenant: string,
    ulids: readonly string[],
    ask: LabelAsk,
    until?: Until,
  ): Promise<LabelAnswer & { missing: string[] }>;
}

/** How long an answer is wanted: until a time, or until nobody waits for it any more. */
export interface Until {
  deadlineMs: number;
  signal: AbortSignal;
}

export type LabelAsk =
  | { kind: "names"; query: LabelQuery }
  | { kind: "values"; name: string; query: LabelQuery }
  | { kind: "series"; names: string[]; query: LabelQuery };

/** What a frontend puts into the queue and a querier takes out. */
export type QueryJob = (
  | { kind: "select"; query: SourceQuery }
  | { kind: "labels"; ask: LabelAsk }
  | { kind: "blocks"; startMs: number; endMs: number }
  | { kind: "digests"; ranges: { startMs: number; endMs: number }[] }
) & {
  /** the query that this job is a part of, and the how manieth part; absent: it is all of one */
  of?: { query: string; part: number };
  /** the answer must hold what the partitioned log held up to these ends of its partitions, when the query came */
  ends?: number[];
  /** the topic that `ends` are offsets of; absent: the brokers name none, or the frontend is of the release before */
  topicId?: string;
};

export type JobResult =
  /** `digest` names what the answer was made of, so that it may be used again as long as that is the same; "": it may not */
  | { kind: "select"; parts: PartialResult[]; warnings: string[]; digest: string }
  | { kind: "digests"; digests: string[]; warnings: string[] }
  | { kind: "labels"; answer: LabelAnswer; warnings: string[] }
  | {
      kind: "blocks";
      recent: BlockInfo[];
      stored: BlockInfo[];
      /** what a query of the range reads; a querier of the release before does not tell */
      chosen?: string[];
      warnings: string[];
    };

/** A job in a querier's hands: exactly one of `done` and `fail` is called. `signal` aborts when nobody waits for it any more. */
export interface TakenJob {
  tenant: string;
  job: QueryJob;
  deadlineMs: number;
  signal: AbortSignal;
  done: (result: JobResult) => void;
  fail: (err: unknown) => void;
}
