export { PushRequestSchema, PusherService, PushResponseSchema } from "./gen/push/v1/push_pb.js";
export {
  AnalyzeQueryResponseSchema,
  DiffResponseSchema,
  FlameGraphDiffSchema,
  FlameGraphSchema,
  HeatmapQueryType,
  ProfileFormat,
  ProfileTypesResponseSchema,
  QuerierService,
  SelectHeatmapResponseSchema,
  SelectMergeProfileRequestSchema,
  SelectMergeSpanProfileResponseSchema,
  SelectMergeStacktracesResponseSchema,
  SelectSeriesResponseSchema,
  SeriesResponseSchema,
} from "./gen/querier/v1/querier_pb.js";
export type {
  AnalyzeQueryRequest,
  DiffRequest,
  SelectMergeProfileRequest,
  SelectMergeSpanProfileRequest,
  SelectMergeStacktracesRequest,
  SelectSeriesRequest,
} from "./gen/querier/v1/querier_pb.js";
export {
  ExemplarType,
  GetProfileStatsResponseSchema,
  LabelNamesResponseSchema,
  LabelValuesResponseSchema,
  TimeSeriesAggregationType,
} from "./gen/types/v1/types_pb.js";
export type { StackTraceSelector } from "./gen/types/v1/types_pb.js";
export { ProfileSchema } from "./gen/google/v1/profile_pb.js";
export { FlushResponseSchema, IngesterService } from "./gen/ingester/v1/ingester_pb.js";
export { FeatureFlagsService } from "./gen/capabilities/v1/feature_flags_pb.js";
export { VCSService } from "./gen/vcs/v1/vcs_pb.js";
export { Version } from "./gen/version/v1/version_pb.js";
export { Health, HealthCheckResponse_ServingStatus } from "./gen/grpc/health/v1/health_pb.js";
export {
  CallTreeRequestSchema,
  CallTreeResponseSchema,
  ExploreService,
  FunctionLinesResponseSchema,
  FunctionNeighboursRequestSchema,
  FunctionNeighboursResponseSchema,
  FunctionOrder,
  FunctionTableResponseSchema,
  HeatmapResponseSchema,
  SeriesResponseSchema as TimelineResponseSchema,
} from "./gen/cinderblock/explore/v1/explore_pb.js";
export type { Selection } from "./gen/cinderblock/explore/v1/explore_pb.js";
export { SettingsService } from "./gen/settings/v1/setting_pb.js";
export { AdHocProfileService } from "./gen/adhocprofiles/v1/adhocprofiles_pb.js";
export { ErrorDetailSchema, FailureSchema } from "./gen/cinderblock/internal/v1/error_pb.js";
export type { DetailValue, ErrorDetail, Failure } from "./gen/cinderblock/internal/v1/error_pb.js";
export {
  IngesterService as InternalIngesterService,
  PushOutcomeSchema,
  PushRecordRequestSchema,
} from "./gen/cinderblock/internal/v1/ingester_pb.js";
export type { PushOutcome } from "./gen/cinderblock/internal/v1/ingester_pb.js";
export {
  PartitionService,
  PartitionStateSchema,
} from "./gen/cinderblock/internal/v1/partition_pb.js";
export type { PartitionState as PartitionStateMessage } from "./gen/cinderblock/internal/v1/partition_pb.js";
export {
  ExecuteRequestSchema,
  LabelsRequestSchema,
  ListBlocksRequestSchema,
  RowKeysRequestSchema,
  RowTimesRequestSchema,
  SeriesRangesRequestSchema,
  SourceService,
} from "./gen/cinderblock/internal/v1/source_pb.js";
export {
  RowKeysSchema,
  RowTimesSchema,
  SeriesRangesSchema,
} from "./gen/cinderblock/internal/v1/source_pb.js";
export type {
  Exclusion as ExclusionMessage,
  ExclusionSchema,
  RowKeys as RowKeysMessage,
  RowTimes as RowTimesMessage,
  SeriesRanges as SeriesRangesMessage,
} from "./gen/cinderblock/internal/v1/source_pb.js";
export type {
  BlockInfo as BlockInfoMessage,
  BlockInfoSchema,
  LabelRequest as LabelRequestMessage,
  LabelRequestSchema,
  Select as SelectMessage,
  SelectSchema,
  SourceQuery as SourceQueryMessage,
  SourceQuerySchema,
  StackFilter as StackFilterMessage,
} from "./gen/cinderblock/internal/v1/query_pb.js";
export type {
  LabelAnswer as LabelAnswerMessage,
  LabelAnswerSchema,
  PartialResult as PartialResultMessage,
  PartialResultSchema,
  PartialSeries as PartialSeriesMessage,
  PartialSeriesSchema,
  PartialTree as PartialTreeMessage,
  PartialTreeSchema,
  Points as PointsMessage,
  PointsSchema,
} from "./gen/cinderblock/internal/v1/result_pb.js";
export {
  CanServeRequestSchema,
  RegisterBlockRequestSchema,
  StoreGatewayService,
} from "./gen/cinderblock/internal/v1/store_gateway_pb.js";
export {
  DoneRequestSchema,
  EnqueueRequestSchema,
  HeartbeatRequestSchema,
  JobResultSchema,
  NextRequestSchema,
  NextResponseSchema,
  QueryJobSchema,
  QuerySchedulerService,
} from "./gen/cinderblock/internal/v1/query_scheduler_pb.js";
export type {
  JobResult as JobResultMessage,
  QueryJob as QueryJobMessage,
} from "./gen/cinderblock/internal/v1/query_scheduler_pb.js";
