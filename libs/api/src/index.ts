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
