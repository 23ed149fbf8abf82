export { SymbolizedSource } from "./symbolized-source.ts";
export type { Found, TableSource } from "./symbolized-source.ts";
export { type Converter, type DebugFile, DebugFiles, inThread } from "./debug-files.ts";
export { convert } from "./convert.ts";
export { Symbolizer, type SymbolizerData } from "./symbolizer.ts";
export {
  keyOf,
  type SymbolizerConfig,
  TABLE_RESULTS,
  tableCounters,
  TableStore,
  uploadedName,
} from "./table-store.ts";
