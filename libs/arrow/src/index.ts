export { encodeBatch, withoutEndMarker, withoutSchema } from "./table.ts";
export type { ArrowColumn } from "./table.ts";
export { toParquet } from "./parquet.ts";
