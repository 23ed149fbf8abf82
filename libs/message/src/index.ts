export { decodeMessage } from "./decode.ts";
export { encodeMessage } from "./encode.ts";
export type { Column } from "./types.ts";
