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
  maxSeriesPerTenant: number;
}
