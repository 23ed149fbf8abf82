/** A relabelling rule of Prometheus, with its defaults filled in. Plain data: it travels with a tenant's limits. */
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

/** The limits that decide about one profile; names and defaults are v1's (docs/reference/configuration.md). */
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
  /** applied to each series' labels, before or after the default rules */
  relabelRules: readonly RelabelRule[];
  /** keep and drop: which sample types of a profile are stored */
  sampleTypeRelabelRules: readonly RelabelRule[];
  maxSeriesPerTenant: number;
  /** whose profiles count together */
  usageGroups: readonly UsageGroup[];
  /** which part of a group's profiles is kept */
  sampling: readonly SamplingRule[];
  /** of the others the totals are kept, in series of their own */
  keepStripped: boolean;
  /** undefined: nobody counts */
  ingestionLimit: IngestionLimit | undefined;
}

/** What somebody else counts a tenant's volume by, and has found: it is told here, and enforced. */
export interface IngestionLimit {
  /** nothing more is taken until the reset */
  reached: boolean;
  /** hour, day, month: for the message */
  periodType: string;
  periodLimitMb: number;
  /** milliseconds since the epoch; 0: not told */
  resetMs: number;
  /** so many requests of each period are taken all the same, so that one sees that agents live */
  trickle: { requests: number; periodMs: number } | undefined;
  /** usage groups whose profiles are refused: they have used up what they may send */
  groupsOverLimit: readonly { name: string; periodLimitMb: number }[];
}

/** A selector and a name, which may hold `${labels.<name>}`. */
export interface UsageGroup {
  name: string;
  selector: string;
}
/** `probability` from 0 to 1 of the profiles of a usage group are kept. */
export interface SamplingRule {
  group: string;
  probability: number;
}

/** Per-tenant limits in the units that the code uses. */
export interface Limits extends IngestLimits {
  /** active series of a tenant in one ingester, and in all of them; 0: no limit. `maxSeriesPerTenant` is what follows for one */
  maxLocalSeriesPerTenant: number;
  maxGlobalSeriesPerTenant: number;
  /** ingesters that a tenant's writes stay in; 0: all */
  ingestionShardSize: number;
  /** profiles of a series that come closer together than the period are held for it, and those of one window of their time become one; 0: neither */
  aggregationWindowMs: number;
  aggregationPeriodMs: number;
  maxQueryLookbackMs: number;
  maxQueryLengthMs: number;
  maxQueryParallelism: number;
  splitQueriesByIntervalMs: number;
  /** parts that the series of a query are divided into; 0 and 1: one */
  splitQueriesByShards: number;
  /** queriers that may run a tenant's queries; 0: all */
  maxQueriersPerTenant: number;
  /** instructions that the regular expressions of a query compile to, together; 0: no limit */
  maxRegexInstructions: number;
  /** characters of a query's selectors and filters; 0: no limit */
  maxSelectorLength: number;
  /** matchers of a query, labels that it groups by, entries of each stack filter; 0: no limit */
  maxMatchers: number;
  /** tenants of a multi-tenant query; 0: no limit */
  maxTenantsPerQuery: number;
  maxFlamegraphNodesDefault: number;
  maxFlamegraphNodesMax: number;
  maxFlamegraphNodesOnSelectMergeProfile: boolean;
  queryAnalysisEnabled: boolean;
  queryAnalysisSeriesEnabled: boolean;
  blocksRetentionMs: number;
  splitShards: number;
  splitGroups: number;
  /** compactors that share a tenant's jobs; 0: all */
  compactorShardSize: number;
  partialBlockDeletionDelayMs: number;
  downsamplerEnabled: boolean;
  /** series that are kept for a shorter time than the rest: selector and period */
  retentionRules: readonly { selector: string; periodMs: number }[];
}

/** Limits by tenant; consumers ask for the ones they use. Overrides come with the runtime file. */
export class TenantLimits {
  private readonly defaults: Limits;
  private overrides: ReadonlyMap<string, Limits>;
  constructor(defaults: Limits, overrides: ReadonlyMap<string, Limits> = new Map()) {
    this.defaults = defaults;
    this.overrides = overrides;
  }
  of(tenant: string): Limits {
    return this.overrides.get(tenant) ?? this.defaults;
  }
  replace(overrides: ReadonlyMap<string, Limits>): void {
    this.overrides = overrides;
  }
}

/** The smaller of two limits of which 0 is none. */
export function smallerLimit(a: number, b: number): number {
  return a === 0 ? b : b === 0 ? a : Math.min(a, b);
}

/**
 * Limits of a query that reads several tenants, as in v1: of each limit the smallest positive value, of the split interval the
 * largest. Whatever one of the tenants does not allow is not allowed. Only the limits of reads are combined.
 */
export function readLimitsOf(all: readonly Limits[]): Limits {
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
