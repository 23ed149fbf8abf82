import type { IngestLimits } from "./limits.ts";

/** Limits for tests: v1's defaults, with rates and windows that no test reaches. */
export const TEST_LIMITS: IngestLimits = {
  ingestionRateBytes: 0,
  ingestionBurstBytes: 0,
  ingestionBodyLimitBytes: 1e8,
  maxLabelNameLength: 1024,
  maxLabelValueLength: 2048,
  maxLabelNamesPerSeries: 30,
  maxSessionsPerSeries: 0,
  enforceLabelsOrder: false,
  disableLabelSanitization: true,
  maxProfileSizeBytes: 4 << 20,
  maxProfileStacktraceSamples: 16000,
  maxProfileStacktraceSampleLabels: 100,
  maxProfileStacktraceDepth: 1000,
  maxProfileSymbolValueLength: 65535,
  rejectOlderThanMs: 0,
  rejectNewerThanMs: 0,
  relabelDefaultRules: "first",
  relabelRules: [],
  sampleTypeRelabelRules: [],
  usageGroups: [],
  sampling: [],
  keepStripped: false,
  ingestionLimit: undefined,
  maxSeriesPerTenant: 0,
};
