import type { ExemplarKind, StackFilter, StackSelector } from "@cinderblock/query";

/** The tenants of a query, its deadline, and the receiver of its warnings. */
export interface RequestContext {
  tenants: string[];
  deadlineMs: number;
  signal: AbortSignal | undefined;
  warn: (reason: string) => void;
  /** the answer must hold everything that was acknowledged before the query */
  strong?: boolean;
}

/** A time range with both ends inclusive; 0: the end is missing. */
export interface RequestedRange {
  startMs: number;
  endMs: number;
}

/** Profiles of one type, by label selector and time. */
export interface ProfileSelection extends RequestedRange {
  profileTypeId: string;
  labelSelector: string;
  /** only these profiles; empty or absent: all */
  profileIds?: string[];
}

/** Samples of given spans and traces; empty or absent: all samples. */
export interface SampleIds {
  spans: string[];
  traces?: string[];
}

/** A request for one merged call tree or profile. */
export interface MergeRequest extends ProfileSelection, SampleIds {
  maxNodes: number;
  stacks: StackSelector | undefined;
  /** only samples of `spans`: no samples if `spans` is empty */
  spansOnly?: boolean;
}

/** A selection of the explore API: profiles, and a filter of their stacks. */
export interface ExploreSelection extends ProfileSelection, SampleIds {
  profileIds: string[];
  filter: StackFilter;
}

/** A request for points by time, one series for each group of labels. */
export interface PointRequest extends RequestedRange {
  profileTypeId: string;
  labelSelector: string;
  stepMs: number;
  groupBy: string[];
  /** maximum number of series; 0: all */
  limit: number;
}

/** A request for time series of sums or averages. */
export interface SeriesRequest extends PointRequest {
  average: boolean;
  callSite: string[];
  /** replaces `callSite` */
  stacks?: StackFilter;
  /** return the largest profile or span of each point, too */
  exemplars?: ExemplarKind;
}

/** A request for the numbers of profiles or spans by time and value. */
export interface SelectHeatmapRequest extends PointRequest {
  each: ExemplarKind;
  exemplars: boolean;
}

/** Selection of the series whose labels a request lists. */
export interface LabelQuery extends RequestedRange {
  matchers: string[];
}
