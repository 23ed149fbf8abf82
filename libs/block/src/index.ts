export { FlameIndex } from "./flame-index.ts";
export { BlockReader } from "./reader.ts";
export { blockFilesIn, readFooter } from "./files.ts";
export type { BlockFiles } from "./files.ts";
export { BlockSymbols } from "./symbols.ts";
export { LabelIndex } from "./label-index.ts";
export type { LabelSets } from "./label-index.ts";
export type {
  DownsampledTable,
  IndexedSeries,
  LabelSource,
  ProfileSource,
  SourceForm,
  SourceSeries,
} from "./source.ts";
export type { RowColumns, RowSource, RowTable, WantedRows } from "./rows.ts";
