import type { StackFilters } from "../state/state.ts";

/** Selection of profiles for a query. */
export interface Selection {
  type: string;
  selector: string;
  startMs: number;
  endMs: number;
  stacks: StackFilters;
  /** only these single profiles; empty: all */
  profileIds: string[];
}

interface SeriesPoint {
  ms: number;
  value: number;
  /** annotations of its profiles */
  annotations: { key: string; value: string }[];
}
export interface Series {
  labels: Record<string, string>;
  points: SeriesPoint[];
}
/** A series of a time line: values and covered time of its steps, by the end of the step. */
export interface TimelineSeries {
  labels: Record<string, string>;
  points: (SeriesPoint & { coveredMs: number })[];
  total: number;
  coveredMs: number;
  intervalMs: number;
}
/** Values and covered time of a selection over time. Steps without covered time have no point. */
export interface Timeline {
  startMs: number;
  stepMs: number;
  intervalMs: number;
  coveredMs: number;
  total: number;
  series: TimelineSeries[];
}
export interface FunctionRow {
  name: string;
  self: number;
  total: number;
  baseSelf: number;
  baseTotal: number;
}
export interface FunctionFile {
  filename: string;
  startLine: number;
  buildId: string;
  lines: { line: number; self: number; total: number }[];
}
export interface FunctionPage {
  rows: FunctionRow[];
  total: number;
  baseTotal: number;
  count: number;
  matching: number;
}
export interface Capabilities {
  version: string;
  maxQueryLengthMs: number;
  maxNodes: number;
  multitenancy: boolean;
  tenants: string[];
  explore: boolean;
}

/** Counts of single profiles by time and value: `counts[column * rows + row]`. */
export interface Heatmap {
  columns: number;
  rows: number;
  counts: number[];
  maxValue: number;
  profiles: number;
}
export interface SingleProfile {
  id: string;
  ms: number;
  value: number;
  labels: string[];
}

export interface FileInfo {
  id: string;
  name: string;
  uploadedAtMs: number;
}
/** v1's flamebearer of one type of a file, or of two files. */
export interface DrawnFiles {
  types: string[];
  type: string;
  unit: string;
  names: string[];
  levels: number[][];
}

/** Failed request, with the server's message and the remedy. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  /** condition that the user can correct, named by the server (docs/reference/errors.md); "": none */
  readonly condition: string;
  constructor(message: string, status: number, code: string, condition = "") {
    super(message);
    this.status = status;
    this.code = code;
    this.condition = condition;
  }

  get next(): string {
    if (this.condition === "no-tenant") return "Choose a tenant at the top right. Join several with |.";
    if (this.status === 401) return "Sign in with a token that has the read role.";
    if (this.status === 403) return "Sign in with a token that has the role in the message.";
    if (this.status === 404) return "Not supported by this server version.";
    if (this.status === 422 || this.status === 400)
      return this.condition === "query-too-long"
        ? "Choose a shorter time range."
        : "Change the query and run it again.";
    if (this.status === 429)
      return "Rate limit reached for this tenant. Wait a moment, or choose a shorter time range.";
    if (this.status === 504 || this.code === "deadline_exceeded")
      return "Shorten the time range or add a filter.";
    if (this.status === 0) return "Check the connection to the server, then retry.";
    return "Retry. If it keeps failing, check the server log.";
  }
}
