export { SymbolizedSource } from "./symbolized-source.ts";
export type { TableState, TableSource } from "./symbolized-source.ts";
export { type Converter, type DebugFile, DebugFiles, threadConverter } from "./debug-files.ts";
export { convertDebugFile } from "./convert.ts";
export { Symbolizer, type SymbolizerData } from "./symbolizer.ts";
export {
  tableFileName,
  type SymbolizerConfig,
  TABLE_RESULTS,
  tableCounters,
  TableStore,
  uploadedName,
} from "./table-store.ts";
