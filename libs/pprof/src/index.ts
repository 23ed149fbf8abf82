export { PprofTables } from "./tables.ts";
export { PprofDecoder, PprofSyntaxError } from "./decode.ts";
export { ReusedGunzip } from "./gunzip.ts";
export { humanBytes, inflateProfile, isGzip } from "./inflate.ts";
export { encodePprof, headerStrings } from "./encode.ts";
export type { PprofHeader, PprofSource } from "./encode.ts";
export { pprofSize } from "./size.ts";
