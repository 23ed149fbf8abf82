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
export type { BinaryValues, ColumnData, Values } from "./read.ts";
export { ParquetWriter } from "./write.ts";
export type { ColumnSource, ParquetOptions, SchemaElement } from "./write.ts";
