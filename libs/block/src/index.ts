export { FlameIndex } from "./flame-index.ts";
export { BlockReader } from "./reader.ts";
export type { BlockFiles } from "./reader.ts";
export { selectSeries } from "./source.ts";
export type { ProfileSource, SourceSeries } from "./source.ts";
export type { RowColumns, RowTable } from "./rows.ts";
