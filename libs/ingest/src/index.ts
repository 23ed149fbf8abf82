export { ActiveSeries, labelHashes, seriesLimitError } from "./active-series.ts";
export { PushProcessor } from "./processor.ts";
export type { ProcessedProfile, ProfileGroup, ProfileSink } from "./profile-sink.ts";
export { emptyOutcome } from "./push.ts";
export type { PushAnswer, PushOutcome, RawPush, SentPush } from "./push.ts";
export {
  aggregateOf,
  toPushAnswer,
  sumPushAnswers,
  pushesBySeries,
  pushesOf,
  refusedProfiles,
} from "./aggregate.ts";
export type { Aggregate, SeriesPush } from "./aggregate.ts";
export type { Growth, PushOrigin } from "./push-origin.ts";
export { UNKNOWN } from "./normalize.ts";
export type { NormalizedProfile } from "./normalize.ts";
export type { SampleIds } from "./split.ts";
export { parseRelabelRules } from "./relabel.ts";
export { storedLabels } from "./series-labels.ts";
export { foldedFrames, stringAt } from "./strings.ts";
export { jfrProfilesOf, NO_JFR_LABELS } from "./jfr.ts";
export { readFoldedLines } from "./folded.ts";
export { FrameBudget } from "./frame-budget.ts";
export { StackBuilder, StackBuilders } from "./stack-builder.ts";
export { MAX_VALUE } from "./wide-sums.ts";
export { readSpeedscope } from "./speedscope.ts";
export { parseAppName, parseTime } from "./app-name.ts";
export type { IngestRequest } from "./ingest-request.ts";
export { RateGate } from "./rate-gate.ts";
export { cutGoShapes } from "./go-fix.ts";
export { decodePush, decodePushJson, encodePush, peekService, serviceOf } from "./envelope.ts";
export { IngestionGate, parseIngestionLimit } from "./ingestion-limit.ts";
export { OTHER_GROUP, parseSampling, parseUsageGroups } from "./usage-groups.ts";
