export { encodeBatch, withoutEnd, withoutSchema } from "./table.ts";
export type { Column } from "./table.ts";
export { toParquet } from "./parquet.ts";
