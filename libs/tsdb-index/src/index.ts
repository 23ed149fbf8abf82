export { encodeIndex } from "./encode.ts";
export type { IndexSeries } from "./encode.ts";
export { decodeIndex, decodeIndexColumns } from "./decode.ts";
export { IndexFile } from "./index-file.ts";
export type { PostingsEntry } from "./index-file.ts";
export { seriesOf } from "./series-columns.ts";
export type { IndexColumns } from "./series-columns.ts";
