export { SymbolisedSource } from "./symbolised-source.ts";
export type { Found, TableSource } from "./symbolised-source.ts";
export { type DebugFile, DebugFiles } from "./debug-files.ts";
export { Symboliser, type SymbolizerData } from "./symboliser.ts";
export { keyOf, type SymbolizerConfig, TABLE_RESULTS, tableCounters, TableStore, uploadedName } from "./table-store.ts";
