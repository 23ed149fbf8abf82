import { LABEL_SERVICE_NAME, parseSelector } from "@cinderblock/model";

/**
 * Export formats: content type, file extension, and whether the format supports comparisons of two sides. The
 * keys are the values of the parameter `format`. Format: docs/formats/exports.md
 */
export const EXPORT_FORMATS = {
  pprof: { type: "application/octet-stream", extension: "pb", diff: false },
  folded: { type: "text/plain; charset=utf-8", extension: "folded", diff: true },
  speedscope: { type: "application/json", extension: "speedscope.json", diff: false },
  firefox: { type: "application/json", extension: "firefox.json", diff: false },
  otlp: { type: "application/x-protobuf", extension: "otlp", diff: false },
  svg: { type: "image/svg+xml", extension: "svg", diff: true },
  html: { type: "text/html; charset=utf-8", extension: "html", diff: true },
  arrow: { type: "application/vnd.apache.arrow.stream", extension: "arrows", diff: false },
  parquet: { type: "application/vnd.apache.parquet", extension: "parquet", diff: false },
} as const;
/** Name of an export format. */
export type ExportFormat = keyof typeof EXPORT_FORMATS;
/** Formats of a call tree by function name: encoded by exportTree. */
export type TreeFormat = "folded" | "speedscope" | "firefox" | "svg" | "html";

/**
 * Rows of a table export: one per profile, stack and labels, or one per profile with its sum. Values of the
 * parameter `rows`.
 */
export type SampleRows = "samples" | "profiles";

/**
 * Common properties of all parts of a table export. They must not change between parts, because the first
 * part has the schema.
 */
export interface SampleTable {
  rows: SampleRows;
  /** labels that become columns, in order */
  labels: readonly string[];
  /** five parts, `process_cpu:cpu:nanoseconds:cpu:nanoseconds`; becomes metadata of the schema */
  profileType: string;
  /** unit of the values; becomes metadata of the column `value` */
  unit: string;
}

/**
 * Service of the first condition `service_name="…"` in a selector; "" without such a condition.
 * @throws CinderblockError for a selector that does not parse
 */
export function serviceOfSelector(labelSelector: string): string {
  return parseSelector(labelSelector).find((m) => m.name === LABEL_SERVICE_NAME && m.op === "=")?.value ?? "";
}
