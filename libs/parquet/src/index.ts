export {
  Codec,
  decodeColumnIndex,
  decodeFooter,
  decodeOffsetIndex,
  Encoding,
  footerLength,
  PhysicalType,
} from "./metadata.ts";
export type { ColumnChunk, ParquetFooter, Leaf, PageBounds, PageLocation, RowGroup } from "./metadata.ts";
export { decodeChunk, decodeDictionary, rowOffsets } from "./read.ts";
export { ColumnCursor } from "./cursor.ts";
export type { ColumnRun } from "./cursor.ts";
export type { BinaryValues, Values } from "./decode-values.ts";
export type { ColumnData } from "./read.ts";
export { ParquetWriter } from "./write.ts";
export type { ColumnSource } from "./column-source.ts";
export type { ParquetOptions, SchemaElement } from "./write.ts";
