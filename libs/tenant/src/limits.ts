/**
 * A relabeling rule as in Prometheus, with its defaults filled in. Plain data, sent along with a tenant's
 * limits.
 */
export interface RelabelRule {
  action:
    | "replace"
    | "keep"
    | "drop"
    | "keepequal"
    | "dropequal"
    | "hashmod"
    | "labelmap"
    | "labeldrop"
    | "labelkeep"
    | "lowercase"
    | "uppercase";
  sourceLabels: readonly string[];
  separator: string;
  regex: string;
  modulus: number;
  targetLabel: string;
  replacement: string;
}

/** Limits that decide about one profile; names and defaults are v1's (docs/reference/configuration.md). */
export interface IngestLimits {
  ingestionRateBytes: number;
  ingestionBurstBytes: number;
  ingestionBodyLimitBytes: number;
  maxLabelNameLength: number;
  maxLabelValueLength: number;
  maxLabelNamesPerSeries: number;
  maxSessionsPerSeries: number;
  enforceLabelsOrder: boolean;
  disableLabelSanitization: boolean;
  maxProfileSizeBytes: number;
  maxProfileStacktraceSamples: number;
  maxProfileStacktraceSampleLabels: number;
  maxProfileStacktraceDepth: number;
  maxProfileSymbolValueLength: number;
  rejectOlderThanMs: number;
  rejectNewerThanMs: number;
  relabelDefaultRules: "first" | "last" | "disabled";
  /** rules for each series' labels, applied before or after the default rules */
  relabelRules: readonly RelabelRule[];
  /** keep and drop rules: which sample types of a profile to store */
  sampleTypeRelabelRules: readonly RelabelRule[];
  maxSeriesPerTenant: number;
  /** selectors of profiles that are counted together */
  usageGroups: readonly UsageGroup[];
  /** fraction of a group's profiles to keep */
  sampling: readonly SamplingRule[];
  /** store the totals of the sampled-out profiles, in separate series */
  keepStripped: boolean;
  /** undefined: no external volume limit */
  ingestionLimit: IngestionLimit | undefined;
}

/** Volume limit of a tenant: another system counts and configures it here; Cinderblock enforces it. */
export interface IngestionLimit {
  /** refuse all pushes until the reset */
  reached: boolean;
  /** hour, day or month, for the message */
  periodType: string;
  periodLimitMb: number;
  /** milliseconds since the epoch; 0: unknown */
  resetMs: number;
  /** requests of each period that are accepted nevertheless, to show that agents are alive */
  trickle: { requests: number; periodMs: number } | undefined;
  /** usage groups over their volume, whose profiles are refused */
  groupsOverLimit: readonly { name: string; periodLimitMb: number }[];
}

/** A selector and a name, which may contain `${labels.<name>}`. */
export interface UsageGroup {
  name: string;
  selector: string;
}
/** Fraction of a usage group's profiles to keep: `probability` from 0 to 1. */
export interface SamplingRule {
  group: string;
  probability: number;
}

/** Limits of a tenant, in the units of the code. */
export interface Limits extends IngestLimits {
  /**
   * limits of a tenant's active series per ingester and in all ingesters together; 0: no limit.
   * `maxSeriesPerTenant` is the share of both for one ingester
   */
  maxLocalSeriesPerTenant: number;
  maxGlobalSeriesPerTenant: number;
  /** number of ingesters that receive a tenant's writes; 0: all */
  ingestionShardSize: number;
  /**
   * profiles of a series that arrive closer together than the period are held for it, and those of one window
   * of profile time are aggregated; 0: no aggregation
   */
  aggregationWindowMs: number;
  aggregationPeriodMs: number;
  maxQueryLookbackMs: number;
  maxQueryLengthMs: number;
  maxQueryParallelism: number;
  splitQueriesByIntervalMs: number;
  /** shards that a query's series are divided into; 0 and 1: no split */
  splitQueriesByShards: number;
  /** number of queriers that may run a tenant's queries; 0: all */
  maxQueriersPerTenant: number;
  /** maximum instructions of all compiled regular expressions of a query; 0: no limit */
  maxRegexInstructions: number;
  /** maximum characters of a query's selectors and filters; 0: no limit */
  maxSelectorLength: number;
  /** maximum matchers of a query, grouping labels, and entries of each stack filter; 0: no limit */
  maxMatchers: number;
  /** maximum tenants of a multi-tenant query; 0: no limit */
  maxTenantsPerQuery: number;
  maxFlamegraphNodesDefault: number;
  maxFlamegraphNodesMax: number;
  maxFlamegraphNodesOnSelectMergeProfile: boolean;
  queryAnalysisEnabled: boolean;
  queryAnalysisSeriesEnabled: boolean;
  blocksRetentionMs: number;
  splitShards: number;
  splitGroups: number;
  /** number of compactors that share a tenant's jobs; 0: all */
  compactorShardSize: number;
  partialBlockDeletionDelayMs: number;
  downsamplerEnabled: boolean;
  /** series with a shorter retention than the rest: selector and period */
  retentionRules: readonly { selector: string; periodMs: number }[];
}

/** Limits by tenant. Overrides come from the runtime configuration file. */
export class TenantLimits {
  private readonly defaults: Limits;
  private overrides: ReadonlyMap<string, Limits>;
  constructor(defaults: Limits, overrides: ReadonlyMap<string, Limits> = new Map()) {
    this.defaults = defaults;
    this.overrides = overrides;
  }
  forTenant(tenant: string): Limits {
    return this.overrides.get(tenant) ?? this.defaults;
  }
  replace(overrides: ReadonlyMap<string, Limits>): void {
    this.overrides = overrides;
  }
}

/** The smaller of two limits, where 0 means no limit. */
export function smallerLimit(a: number, b: number): number {
  return a === 0 ? b : b === 0 ? a : Math.min(a, b);
}

/**
 * Limits of a query over several tenants, as in v1: the smallest positive value of each combined limit, except
 * the largest split interval. The fields that are not listed here are those of the first tenant.
 */
export function combineReadLimits(all: readonly Limits[]): Limits {
  const smallest = (of: (l: Limits) => number): number => all.map(of).reduce(smallerLimit, 0);
  return {
    ...all[0]!,
    maxQueryLookbackMs: smallest((l) => l.maxQueryLookbackMs),
    maxQueryLengthMs: smallest((l) => l.maxQueryLengthMs),
    maxQueryParallelism: smallest((l) => l.maxQueryParallelism),
    maxQueriersPerTenant: smallest((l) => l.maxQueriersPerTenant),
    maxFlamegraphNodesDefault: smallest((l) => l.maxFlamegraphNodesDefault),
    maxFlamegraphNodesMax: smallest((l) => l.maxFlamegraphNodesMax),
    splitQueriesByShards: smallest((l) => l.splitQueriesByShards),
    splitQueriesByIntervalMs: Math.max(...all.map((l) => l.splitQueriesByIntervalMs)),
    maxFlamegraphNodesOnSelectMergeProfile: all.some((l) => l.maxFlamegraphNodesOnSelectMergeProfile),
    queryAnalysisEnabled: all.every((l) => l.queryAnalysisEnabled),
    queryAnalysisSeriesEnabled: all.every((l) => l.queryAnalysisSeriesEnabled),
  };
}
