export { encodeIndex } from "./encode.ts";
export type { IndexSeries } from "./encode.ts";
export { decodeIndex } from "./decode.ts";
export { IndexFile } from "./index-file.ts";
export type { PostingsEntry } from "./index-file.ts";
