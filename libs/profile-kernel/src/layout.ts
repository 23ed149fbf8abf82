import type { I64Column, U32Column } from "@cinderblock/columnar";
import type { PprofTables } from "@cinderblock/pprof";

/** Address of the header in the kernel's memory; assembly/layout.ts has the same addresses. */
export const HEADER_START = 64;
/** Index of each 32-bit word in the kernel's header. */
export const HeaderWord = {
  strings: 0,
  types: 1,
  samples: 2,
  refs: 3,
  values: 4,
  labels: 5,
  mappings: 6,
  locations: 7,
  lines: 8,
  functions: 9,
  comments: 10,
  dropFrames: 12,
  keepFrames: 13,
  hasPeriodType: 14,
  periodType: 15,
  periodUnit: 16,
  defaultSampleType: 17,
  timeNanos: 18,
  durationNanos: 20,
  period: 22,
  kept: 24,
  /** row capacity of each of the eleven tables, one 32-bit word each */
  capacity: 32,
} as const;
/** addresses of the columns, one word each */
export const COLUMN_ADDRESSES = HEADER_START + 256;
/**
 * end of the fixed part: header, symbol table, words of one location, hashes of one stack; the profile and
 * its columns follow
 */
export const PROFILE_START = 65536 + (3 << 20) + (4 << 14) + (8 << 12);

type Rows =
  | "strings"
  | "types"
  | "samples"
  | "refs"
  | "values"
  | "labels"
  | "mappings"
  | "locations"
  | "lines"
  | "functions"
  | "comments";
type Column<T> = { [K in keyof PprofTables]: PprofTables[K] extends T ? K : never }[keyof PprofTables];

/** Table of a column: a column of PprofTables, or an internal one of kernel and interner. */
export interface ColumnSpec {
  rows: Rows;
  bytes: 1 | 4 | 8;
  table?: Column<U32Column> | Column<I64Column>;
  /** the column has one row more than `rows` */
  fence?: true;
}

/** Every column, in the order of assembly/layout.ts. */
export const COLUMNS = {
  stringStart: { rows: "strings", bytes: 4, table: "stringStart" },
  stringEnd: { rows: "strings", bytes: 4, table: "stringEnd" },
  stringMap: { rows: "strings", bytes: 4 },
  typeType: { rows: "types", bytes: 4, table: "typeType" },
  typeUnit: { rows: "types", bytes: 4, table: "typeUnit" },
  sampleLocations: { rows: "samples", bytes: 4, table: "sampleLocations", fence: true },
  sampleValues: { rows: "samples", bytes: 4, table: "sampleValues", fence: true },
  sampleLabels: { rows: "samples", bytes: 4, table: "sampleLabels", fence: true },
  sampleFrom: { rows: "samples", bytes: 4 },
  sampleTo: { rows: "samples", bytes: 4 },
  keep: { rows: "samples", bytes: 1 },
  group: { rows: "samples", bytes: 4 },
  nodes: { rows: "samples", bytes: 4 },
  locationIdLo: { rows: "refs", bytes: 4, table: "locationIdLo" },
  locationIdHi: { rows: "refs", bytes: 4, table: "locationIdHi" },
  refLocation: { rows: "refs", bytes: 4 },
  value: { rows: "values", bytes: 8, table: "value" },
  labelKey: { rows: "labels", bytes: 4, table: "labelKey" },
  labelStr: { rows: "labels", bytes: 4, table: "labelStr" },
  mappingIdLo: { rows: "mappings", bytes: 4, table: "mappingIdLo" },
  mappingIdHi: { rows: "mappings", bytes: 4, table: "mappingIdHi" },
  mappingStart: { rows: "mappings", bytes: 8, table: "mappingStart" },
  mappingLimit: { rows: "mappings", bytes: 8, table: "mappingLimit" },
  mappingOffset: { rows: "mappings", bytes: 8, table: "mappingOffset" },
  mappingFilename: { rows: "mappings", bytes: 4, table: "mappingFilename" },
  mappingBuildId: { rows: "mappings", bytes: 4, table: "mappingBuildId" },
  mappingFlags: { rows: "mappings", bytes: 4, table: "mappingFlags" },
  mappingMap: { rows: "mappings", bytes: 4 },
  locIdLo: { rows: "locations", bytes: 4, table: "locIdLo" },
  locIdHi: { rows: "locations", bytes: 4, table: "locIdHi" },
  locMappingLo: { rows: "locations", bytes: 4, table: "locMappingLo" },
  locMappingHi: { rows: "locations", bytes: 4, table: "locMappingHi" },
  locAddress: { rows: "locations", bytes: 8, table: "locAddress" },
  locFolded: { rows: "locations", bytes: 4, table: "locFolded" },
  locLines: { rows: "locations", bytes: 4, table: "locLines", fence: true },
  locationMapping: { rows: "locations", bytes: 4 },
  locationValid: { rows: "locations", bytes: 1 },
  locationMap: { rows: "locations", bytes: 4 },
  lineFunctionLo: { rows: "lines", bytes: 4, table: "lineFunctionLo" },
  lineFunctionHi: { rows: "lines", bytes: 4, table: "lineFunctionHi" },
  lineNumber: { rows: "lines", bytes: 4, table: "lineNumber" },
  lineFunction: { rows: "lines", bytes: 4 },
  funcIdLo: { rows: "functions", bytes: 4, table: "funcIdLo" },
  funcIdHi: { rows: "functions", bytes: 4, table: "funcIdHi" },
  funcName: { rows: "functions", bytes: 4, table: "funcName" },
  funcSystemName: { rows: "functions", bytes: 4, table: "funcSystemName" },
  funcFilename: { rows: "functions", bytes: 4, table: "funcFilename" },
  funcStartLine: { rows: "functions", bytes: 4, table: "funcStartLine" },
  functionMap: { rows: "functions", bytes: 4 },
  comments: { rows: "comments", bytes: 4, table: "comments" },
  stringHash: { rows: "strings", bytes: 8 },
  functionHash: { rows: "functions", bytes: 8 },
  mappingHash: { rows: "mappings", bytes: 8 },
  locationHash: { rows: "locations", bytes: 8 },
} satisfies Record<string, ColumnSpec>;
