export { encodeIndex } from "./encode.ts";
export type { IndexSeries } from "./encode.ts";
export { decodeIndex } from "./decode.ts";
