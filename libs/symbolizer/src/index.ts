export { SymbolisedSource } from "./symbolised-source.ts";
export type { Found, TableSource } from "./symbolised-source.ts";
export { type Converter, type DebugFile, DebugFiles, inThread } from "./debug-files.ts";
export { convert } from "./convert.ts";
export { Symboliser, type SymbolizerData } from "./symboliser.ts";
export { keyOf, type SymbolizerConfig, TABLE_RESULTS, tableCounters, TableStore, uploadedName } from "./table-store.ts";
