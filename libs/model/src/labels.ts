import { ByteWriter, compareUtf8 } from "@cinderblock/bytes";

/** One label of a series. */
export interface Label {
  readonly name: string;
  readonly value: string;
}
/** Labels of a series in stored order: bytewise by name, unless the sender enforced another (`__order__`). */
export type Labels = readonly Label[];

/** Profile name, such as `process_cpu`. */
export const LABEL_NAME = "__name__";
/** Profile type ID of a stored series. */
export const LABEL_PROFILE_TYPE = "__profile_type__";
/** Service of a series; every stored series has one. */
export const LABEL_SERVICE_NAME = "service_name";
/** Service name that an agent sends before relabeling. */
export const LABEL_SERVICE_NAME_PRIVATE = "__service_name__";
/** Sample type of a stored series, such as `cpu`. */
export const LABEL_TYPE = "__type__";
/** Sample unit of a stored series, such as `nanoseconds`. */
export const LABEL_UNIT = "__unit__";
/** Period type of a stored series. */
export const LABEL_PERIOD_TYPE = "__period_type__";
/** Period unit of a stored series. */
export const LABEL_PERIOD_UNIT = "__period_unit__";
/** `false` on series whose agent sends differences instead of cumulative values. */
export const LABEL_DELTA = "__delta__";
/** Marks series that arrived through OTLP. */
export const LABEL_OTEL = "__otel__";
/** Marks series whose sender enforced the order of the labels. */
export const LABEL_ORDER = "__order__";
/** `true` on series of sampled-out profiles: totals without stacks. */
export const LABEL_SAMPLED = "__sampled__";
/** Session of an agent process; limited per series by -validation.max-sessions-per-series. */
export const LABEL_SESSION_ID = "__session_id__";
/** Name of the agent that sent a profile. */
export const LABEL_SPY = "pyroscope_spy";

/** Value of a label; "" without the label. */
export function labelValue(labels: Labels, name: string): string {
  for (const l of labels) if (l.name === name) return l.value;
  return "";
}

/**
 * Whether profiles of a series may be cumulative since process start: Go's heap profiles, unless the agent
 * declares differences.
 */
export function mayBeCumulative(labels: Labels): boolean {
  return labelValue(labels, LABEL_NAME) === "memory" && labelValue(labels, LABEL_DELTA) !== "false";
}

/** Sorts labels by name in place, bytewise, and returns them. */
export function sortLabels(labels: Label[]): Label[] {
  return labels.sort((a, b) => compareUtf8(a.name, b.name));
}

/** `{a="b", c="d"}` with Go-quoted values: error texts and ring tokens use it. */
export function labelsText(labels: Labels): string {
  return `{${labels.map((l) => `${l.name}=${JSON.stringify(l.value)}`).join(", ")}}`;
}

/**
 * Order of two label sets: pairwise by name, then value; the shorter first on a common prefix
 * (docs/formats/index-tsdb.md).
 */
export function compareLabels(a: Labels, b: Labels): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const d = compareUtf8(a[i]!.name, b[i]!.name) || compareUtf8(a[i]!.value, b[i]!.value);
    if (d !== 0) return d;
  }
  return a.length - b.length;
}

/** The bytes whose xxHash64 is the series fingerprint: `name FF value FF` for each label in stored order. */
export function fingerprintBytes(labels: Labels): Uint8Array {
  const out = new ByteWriter(256);
  for (const l of labels) {
    out.utf8(l.name);
    out.u8(0xff);
    out.utf8(l.value);
    out.u8(0xff);
  }
  return out.finish();
}

/** Map key of a label set; equal sets have equal keys. */
export function labelsKey(labels: Labels): string {
  let key = "";
  for (const l of labels) key += `${l.name}\u0000${l.value}\u0001`;
  return key;
}
