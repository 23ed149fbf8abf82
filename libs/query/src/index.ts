export { endNanos, selectorOf, selectRows, startNanos } from "./select.ts";
export type { SelectRequest } from "./select.ts";
export { emptyTree, TreeMerger } from "./tree.ts";
export type { PartialTree } from "./tree.ts";
export { diffLevels, encodeTreeBytes, finalTree, flameLevels } from "./render-tree.ts";
export type { FinalTree, FlameLevels } from "./render-tree.ts";
export { encodeSelectHeatmap } from "./heatmap.ts";
export type { HeatmapRequest } from "./heatmap.ts";
export { spanText } from "./exemplars.ts";
export { uuidText } from "./points.ts";
export { mergeSamples } from "./samples.ts";
export type { PartialSamples } from "./samples.ts";
export type { ExemplarKind, Exemplar } from "./exemplars.ts";
export { encodeHeatmap, mergeProfileLists } from "./points.ts";
export type { Points, ProfileList, SingleProfile } from "./points.ts";
export { flamebearerProfile, type FlamebearerMetadata } from "./flamebearer.ts";
export { encodeTimeline, timelineOf } from "./timeline.ts";
export type { Timeline, TimelineRequest } from "./timeline.ts";
export { encodeCallTree } from "./call-tree.ts";
export { callersAndCallees, mergeComparison } from "./comparison-tree.ts";
export type { ComparisonTree } from "./comparison-tree.ts";
export { encodeFunctionTable } from "./function-table.ts";
export type { FunctionOrder, FunctionTablePage } from "./function-table.ts";
export { callSiteFilter } from "./stack-filter.ts";
export type { StackFilter } from "./stack-filter.ts";
export { encodeFunctionLines, functionLines } from "./function-lines.ts";
export type { FunctionFile } from "./function-lines.ts";
export { ProfileMerger, renderPprof } from "./profile.ts";
export type { PartialProfile, StackSelector } from "./profile.ts";
export { pointTimes, renderSeries, SeriesMerger } from "./series.ts";
export type { PartialSeries, SeriesRange, SeriesResult } from "./series.ts";
export {
  executeOn,
  mergePartials,
  unnamedReason,
  staleForms,
  rowKeys,
  seriesRanges,
} from "./execute.ts";
export {
  distinctSets,
  joinLabelAnswers,
  labelAnswer,
  labelNames,
  labelValues,
  seriesLabels,
  withoutColumns,
} from "./labels.ts";
export { countValues, encodeSeriesResponse, labelsOfSets } from "./label-sets.ts";
export type { LabelQuery } from "./labels.ts";
export { rowTimes, sharedTimes } from "./row-times.ts";
export type { RowTimes, SharedTimes } from "./row-times.ts";
export { findDuplicates } from "./duplicates.ts";
export type { Exclusion, Exclusions } from "./duplicates.ts";
export type { PartialResult, RowKeys, SourceQuery } from "./execute.ts";
export type {
  BlockInfo,
  ExecuteAnswer,
  JobResult,
  LabelAnswer,
  LabelRequest,
  QueryJob,
  SeriesRanges,
  SourceClient,
  AssignedJob,
  Deadline,
} from "./contracts.ts";
