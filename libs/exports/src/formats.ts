import { LABEL_SERVICE_NAME, parseSelector } from "@cinderblock/model";

/** Forms of answers as files: content type, end of the file's name, and whether two sides can be compared in it. */
export const EXPORTS = {
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
export type ExportFormat = keyof typeof EXPORTS;
/** Those that are made of a call tree by function name. */
export type TreeFormat = "folded" | "speedscope" | "firefox" | "svg" | "html";

/** A row for each sample, with its stack; or one for each profile, with its sum. */
export type SampleRows = "samples" | "profiles";

/** What every part of an export as a table has alike. */
export interface SampleTable {
  rows: SampleRows;
  /** labels that are columns, in order */
  labels: readonly string[];
  profileType: string;
  unit: string;
}

/** The one service that a selector names; "": it names none, or several. */
export function serviceNamed(labelSelector: string): string {
  return parseSelector(labelSelector).find((m) => m.name === LABEL_SERVICE_NAME && m.op === "=")?.value ?? "";
}
