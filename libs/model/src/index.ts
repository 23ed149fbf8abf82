export {
  ANNOTATION_SAMPLED,
  ANNOTATION_THROTTLED,
  AnnotationSets,
  mergeAnnotations,
  NO_ANNOTATIONS,
} from "./annotations.ts";
export type { Annotation, Annotations } from "./annotations.ts";
export {
  compareLabels,
  fingerprintBytes,
  labelValue,
  labelsKey,
  labelsText,
  mayBeCumulative,
  sortLabels,
  LABEL_DELTA,
  LABEL_NAME,
  LABEL_ORDER,
  LABEL_OTEL,
  LABEL_PERIOD_TYPE,
  LABEL_PERIOD_UNIT,
  LABEL_PROFILE_TYPE,
  LABEL_SAMPLED,
  LABEL_SERVICE_NAME,
  LABEL_SERVICE_NAME_PRIVATE,
  LABEL_SESSION_ID,
  LABEL_SPY,
  LABEL_TYPE,
  LABEL_UNIT,
} from "./labels.ts";
export type { Label, Labels } from "./labels.ts";
export { isProfileType, parseProfileType } from "./profile-type.ts";
export type { ProfileType } from "./profile-type.ts";
export {
  compileAnchored,
  Matcher,
  parseSelector,
  selectorMatches,
  selectorText,
  textFilter,
} from "./selector.ts";
export type { AnchoredPattern, MatchOp, Selector } from "./selector.ts";
export { PatternBudget } from "./pattern.ts";
export type { PatternLimits } from "./pattern.ts";
