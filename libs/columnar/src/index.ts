export { ByteColumn, I32Column, I64Column, U32Column } from "./columns.ts";
export { ByteStrings } from "./byte-strings.ts";
export { PairTable } from "./pair-table.ts";
export { addInt64, isBelow, splitInt64, wordsOf } from "./int64.ts";
export { nthLargest, sortedIndex, sortedOrder, positionsByValue } from "./sort.ts";
