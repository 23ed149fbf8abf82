export { callTreeOfLevels, decodeCallTree, decodeNeighbors } from "./call-tree.ts";
export type { CallTree } from "./call-tree.ts";
export { boxAt, boxOf, shareNotCutOff, CUT_OFF_NAME, layoutFlame, levelOf, pathOf } from "./layout.ts";
export type { Flame } from "./layout.ts";
export { collapseRecursion, eachStack, invertTree } from "./transform.ts";
export { changeFactor, pairOf, sidesOf, haveUnequalTimes } from "./comparison.ts";
export type { Basis, Pair, Sides } from "./comparison.ts";
export { callGraph } from "./call-graph.ts";
export type { CallGraph } from "./call-graph.ts";
export { searchFlame, searchPattern } from "./search.ts";
export type { SearchResult } from "./search.ts";
export { drawFlame, drawOverview, cutOffText, graphHeight, levelAt, rowTop } from "./draw.ts";
export type { Style, Surface, Viewport } from "./draw.ts";
export { changesOf, packageFill, packageOf, createPainter, shortFunction } from "./palette.ts";
export type { ChangePalette, ColorMode, Paint, Theme } from "./palette.ts";
export {
  columnScale,
  formatChange,
  formatCount,
  formatDelta,
  formatFactor,
  formatRelative,
  formatShare,
  formatValue,
} from "./units.ts";
export {
  averageOf,
  coveredSpan,
  heightMeasure,
  heightOf,
  intervalOf,
  isCpuTime,
  isGauge,
  totalLength,
  measureOf,
  rateOf,
  shareOf,
  timelineStep,
  unionOfSpans,
  unitOf,
  unitOfType,
  UNKNOWN_INTERVAL_MS,
} from "./figures.ts";
export { spread, stepAt } from "./spread.ts";
export type { Figures, Unit, ValueUnit } from "./figures.ts";
export { toFirefox, toFolded, toFoldedDiff, toHtml, toSpeedscope, toSvg } from "./export.ts";
