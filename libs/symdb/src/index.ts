export {
  FUNCTION_WORDS,
  HAS_FILENAMES,
  HAS_FUNCTIONS,
  HAS_INLINE_FRAMES,
  HAS_LINE_NUMBERS,
  LOCATION_HEAD,
  MAPPING_WORDS,
  locationCount,
  stringCount,
} from "./tables.ts";
export type { SymbolTables } from "./tables.ts";
export { SymbolPartition, SymbolRewriter } from "./partition.ts";
export { WordTuples } from "./word-tuples.ts";
export { SymdbWriter } from "./encode.ts";
export type { PartitionSource } from "./encode.ts";
export {
  decodeFooter as decodeSymdbFooter,
  decodeIndex as decodeSymdbIndex,
  encodeIndex as encodeSymdbIndex,
  FOOTER_SIZE as SYMDB_FOOTER_SIZE,
} from "./index-section.ts";
export type { PartitionIndex, RowRange, StackBlockHeader, SymdbIndex, TableHeader } from "./index-section.ts";
export {
  decodeParquetSymbols,
  decodePartitionV3,
  decodeStacks,
  decodeStacktraceTable,
  selectPartition,
} from "./decode.ts";
export type { ParquetSymbols, SymbolFiles } from "./decode.ts";
export { decodeStackTree, encodeStackTree } from "./stack-tree.ts";
