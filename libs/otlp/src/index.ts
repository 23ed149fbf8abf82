export { decodeExport } from "./decode.ts";
export { decodeExportJson } from "./decode-json.ts";
export type { OtlpAttribute, OtlpDictionary, OtlpExport, OtlpProfile, OtlpResource, OtlpSample, OtlpValue, OtlpValueType } from "./types.ts";
export { encodeExport } from "./encode.ts";
