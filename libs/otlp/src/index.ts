export { decodeExport } from "./decode.ts";
export { decodeExportJson } from "./decode-json.ts";
export { OtlpTables } from "./tables.ts";
export type { OtlpAttribute, OtlpProfile, OtlpResource, OtlpValue } from "./tables.ts";
export { encodeExport } from "./encode.ts";
