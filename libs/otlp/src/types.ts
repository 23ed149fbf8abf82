/** The tables and profiles of an ExportProfilesServiceRequest; indices refer to the dictionary's tables, whose first entries stand for "none". */
export interface OtlpExport { dictionary: OtlpDictionary | undefined; resources: OtlpResource[] }

export type OtlpValue = string | number | bigint | boolean | OtlpValue[] | undefined;
export interface OtlpAttribute { key: string; value: OtlpValue }

export interface OtlpDictionary {
  mappings: { start: bigint; limit: bigint; offset: bigint; filename: number; attributes: number[] }[];
  locations: { mapping: number; address: bigint; lines: { function: number; line: number }[] }[];
  functions: { name: number; systemName: number; filename: number; startLine: number }[];
  links: { traceId: Uint8Array; spanId: Uint8Array }[];
  strings: string[];
  attributes: { key: number; value: OtlpValue }[];
  /** stack -> locations, leaf first */
  stacks: number[][];
}

export interface OtlpResource { attributes: OtlpAttribute[]; scopes: { attributes: OtlpAttribute[]; profiles: OtlpProfile[] }[] }
export interface OtlpValueType { type: number; unit: number }
export interface OtlpProfile {
  sampleType: OtlpValueType;
  samples: OtlpSample[];
  timeNanos: bigint;
  durationNanos: bigint;
  periodType: OtlpValueType;
  period: bigint;
}
export interface OtlpSample { stack: number; attributes: number[]; link: number; values: bigint[]; timestamps: number }
