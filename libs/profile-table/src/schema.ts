import { type ParquetFooter, PhysicalType, type RowGroup, type SchemaElement } from "@cinderblock/parquet";

const { INT32, INT64, BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY } = PhysicalType;
// FieldRepetitionType of parquet.thrift
const REQUIRED = 0,
  OPTIONAL = 1,
  REPEATED = 2;
// ConvertedType of parquet.thrift: written next to the logical types, for older readers
const UTF8 = 0,
  LIST = 3,
  UINT_32 = 13,
  UINT_64 = 14,
  INT_64 = 18;

function i64(name: string, repetition = REQUIRED): SchemaElement {
  return {
    name,
    type: INT64,
    typeLength: 64,
    repetition,
    converted: INT_64,
    logical: { kind: "int", bits: 64, signed: true },
  };
}
function u64(name: string, repetition = REQUIRED): SchemaElement {
  return {
    name,
    type: INT64,
    typeLength: 64,
    repetition,
    converted: UINT_64,
    logical: { kind: "int", bits: 64, signed: false },
  };
}
function group(name: string, children: number, repetition = REQUIRED): SchemaElement {
  return { name, repetition, children };
}
function list(name: string): SchemaElement {
  return { name, repetition: REQUIRED, children: 1, converted: LIST, logical: { kind: "list" } };
}
function text(name: string): SchemaElement {
  return { name, type: BYTE_ARRAY, repetition: REQUIRED, converted: UTF8, logical: { kind: "string" } };
}

/**
 * Schema of `profiles.parquet` in current v1, in the pre-order of Parquet's footer: each group is followed by
 * its children. Format: docs/formats/profiles-parquet.md
 *
 *   Profile
 *     ID, SeriesIndex, StacktracePartition, TotalValue
 *     Samples.list.element      StacktraceID, Value, Labels (always empty), SpanID?, TraceID?
 *     DropFrames?, KeepFrames?, TimeNanos, DurationNanos?, Period?, Comments.list.element, DefaultSampleType?
 *     Annotations.list.element  Key, Value                                     (? = optional)
 *
 * v1 looks columns up by name. The names of lists must be `list` and `element`: with others v1's queries
 * fail, and its compaction drops the samples without an error.
 */
export const PROFILE_SCHEMA: readonly SchemaElement[] = [
  { name: "Profile", children: 13 },
  { name: "ID", type: FIXED_LEN_BYTE_ARRAY, typeLength: 16, repetition: REQUIRED, logical: { kind: "uuid" } },
  {
    name: "SeriesIndex",
    type: INT32,
    typeLength: 32,
    repetition: REQUIRED,
    converted: UINT_32,
    logical: { kind: "int", bits: 32, signed: false },
  },
  u64("StacktracePartition"),
  u64("TotalValue"),
  list("Samples"),
  group("list", 1, REPEATED),
  group("element", 5),
  u64("StacktraceID"),
  i64("Value"),
  list("Labels"),
  group("list", 1, REPEATED),
  group("element", 4),
  i64("Key"),
  i64("Str", OPTIONAL),
  i64("Num", OPTIONAL),
  i64("NumUnit", OPTIONAL),
  u64("SpanID", OPTIONAL),
  { name: "TraceID", type: FIXED_LEN_BYTE_ARRAY, typeLength: 16, repetition: OPTIONAL },
  i64("DropFrames", OPTIONAL),
  i64("KeepFrames", OPTIONAL),
  {
    name: "TimeNanos",
    type: INT64,
    typeLength: 64,
    repetition: REQUIRED,
    logical: { kind: "timestampNanos" },
  },
  i64("DurationNanos", OPTIONAL),
  i64("Period", OPTIONAL),
  list("Comments"),
  group("list", 1, REPEATED),
  i64("element"),
  i64("DefaultSampleType", OPTIONAL),
  list("Annotations"),
  group("list", 1, REPEATED),
  group("element", 2),
  text("Key"),
  text("Value"),
];

/**
 * Schema of the downsampled tables, sums by five minutes and by hour: the profile schema without IDs, labels,
 * spans, durations and pprof's remains. Format: docs/formats/profiles-parquet.md#downsampled
 */
export const DOWNSAMPLED_SCHEMA: readonly SchemaElement[] = [
  { name: "DownsampledProfile", children: 6 },
  {
    name: "SeriesIndex",
    type: INT32,
    typeLength: 32,
    repetition: REQUIRED,
    converted: UINT_32,
    logical: { kind: "int", bits: 32, signed: false },
  },
  u64("StacktracePartition"),
  u64("TotalValue"),
  list("Samples"),
  group("list", 1, REPEATED),
  group("element", 2),
  u64("StacktraceID"),
  i64("Value"),
  {
    name: "TimeNanos",
    type: INT64,
    typeLength: 64,
    repetition: REQUIRED,
    logical: { kind: "timestampNanos" },
  },
  list("Annotations"),
  group("list", 1, REPEATED),
  group("element", 2),
  text("Key"),
  text("Value"),
];

/** Paths of the leaf columns with content; the others of the schema hold only nulls or empty lists. */
export const ColumnPath = {
  id: "ID",
  seriesIndex: "SeriesIndex",
  partition: "StacktracePartition",
  totalValue: "TotalValue",
  stacktraceId: "Samples.list.element.StacktraceID",
  value: "Samples.list.element.Value",
  spanId: "Samples.list.element.SpanID",
  traceId: "Samples.list.element.TraceID",
  timeNanos: "TimeNanos",
  durationNanos: "DurationNanos",
  annotationKey: "Annotations.list.element.Key",
  annotationValue: "Annotations.list.element.Value",
} as const;

/** `created_by` in the footer of Cinderblock's tables, which `mayHaveAnnotations` relies on. */
export const CREATED_BY = "cinderblock";

/**
 * Whether rows of a group may have annotations, decided by the footer without reading a page. Older tables
 * lack the column, and Cinderblock's tables use a dictionary only if there are annotations; tables of other
 * writers always may.
 */
export function mayHaveAnnotations(file: ParquetFooter, group: RowGroup): boolean {
  const chunk = group.columns.get(ColumnPath.annotationKey);
  return chunk !== undefined && (file.createdBy !== CREATED_BY || chunk.dictionary);
}
