import { utf8Length } from "@cinderblock/bytes";
import { CinderblockError, type DiscardReason } from "@cinderblock/errors";
import {
  type Label,
  type Labels,
  LABEL_DELTA,
  LABEL_NAME,
  LABEL_ORDER,
  LABEL_OTEL,
  LABEL_PROFILE_TYPE,
  LABEL_SERVICE_NAME,
  LABEL_SERVICE_NAME_PRIVATE,
  LABEL_SESSION_ID,
  LABEL_TYPE,
  labelsText,
  labelValue,
  sortLabels,
} from "@cinderblock/model";
import type { IngestLimits } from "@cinderblock/tenant";
import { relabelSeries } from "./relabel.ts";

/**
 * Sorts labels by name and adds a missing `service_name`. Duplicates and an empty `service_name` stay, because
 * validation reports them.
 */
export function withServiceName(sent: Labels): Label[] {
  const labels = [...sent];
  if (!labels.some((l) => l.name === LABEL_SERVICE_NAME))
    labels.push({ name: LABEL_SERVICE_NAME, value: "unknown_service" });
  return sortLabels(labels);
}

function set(labels: Label[], name: string, value: string): Label[] {
  return sortLabels([...labels.filter((l) => l.name !== name), { name, value }]);
}

/** Applies v1's default rules: godeltaprof_* and wall/cpu get their usual names. */
function applyDefaultRelabelRules(labels: Label[]): Label[] {
  const name = labelValue(labels, LABEL_NAME);
  let out = labels;
  const delta = /^godeltaprof_(.*)$/s.exec(name);
  if (delta) {
    out = set(out, "__name_replaced__", name);
    out = set(out, LABEL_DELTA, "false");
    out = delta[1] === "" ? out.filter((l) => l.name !== LABEL_NAME) : set(out, LABEL_NAME, delta[1]!);
  }
  if (labelValue(out, LABEL_NAME) === "wall" && labelValue(out, LABEL_TYPE) === "cpu") {
    out = set(set(out, "__name_replaced__", "wall"), LABEL_NAME, "process_cpu");
  }
  return out;
}

/**
 * Applies the tenant's rules and the default rules in the tenant's order; undefined if a rule drops the
 * series.
 */
export function applyRelabelRules(labels: Label[], limits: IngestLimits): Label[] | undefined {
  const { relabelDefaultRules: position, relabelRules: rules } = limits;
  const own = (l: Label[]): Label[] | undefined => (rules.length === 0 ? l : relabelSeries(l, rules));
  if (position === "disabled") return own(labels);
  if (position === "first") return own(applyDefaultRelabelRules(labels));
  const out = own(labels);
  return out && applyDefaultRelabelRules(out);
}

/**
 * Replaces a session ID by its value modulo `max`. Without a limit (0), or with a malformed ID, removes the
 * label.
 */
export function limitSessions(labels: Label[], max: number): Label[] {
  const id = labels.find((l) => l.name === LABEL_SESSION_ID);
  if (!id) return labels;
  const rest = labels.filter((l) => l !== id);
  if (max <= 0 || !/^[0-9a-fA-F]{16}$/.test(id.value)) return rest;
  const bytes = Buffer.from(id.value, "hex");
  bytes.writeBigUInt64LE(bytes.readBigUInt64LE() % BigInt(max));
  return sortLabels([...rest, { name: LABEL_SESSION_ID, value: bytes.toString("hex") }]);
}

/** Maximum characters of labels in an error. */
const MAX_QUOTED = 4096;

function quoted(text: string): string {
  return text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}… (${text.length} characters)` : text;
}

function refuse(reason: DiscardReason, message: string, limit?: number): never {
  throw new CinderblockError(
    "invalid",
    message,
    limit === undefined ? { reason } : { reason, detail: { limit } },
  );
}

function isWellFormed(text: string): boolean {
  return text.isWellFormed() && !text.includes("\ufffd");
}

/** Checks labels as v1 does, with its error texts; sanitizes names if that is enabled. @throws `invalid` */
export function validateLabels(labels: Label[], limits: IngestLimits): Label[] {
  const text = (): string => quoted(labelsText(labels));
  if (labels.length === 0) refuse("missing_labels", "error at least one label pair is required per profile");
  if (labels.length > limits.maxLabelNamesPerSeries)
    refuse(
      "max_label_names_per_series",
      `profile series '${text()}' has ${labels.length} label names; limit ${limits.maxLabelNamesPerSeries}`,
      limits.maxLabelNamesPerSeries,
    );
  const name = labelValue(labels, LABEL_NAME);
  if (name === "" || !isWellFormed(name))
    refuse("invalid_labels", `invalid labels '${text()}' with error: invalid metric name`);
  if (name.includes(":"))
    refuse("invalid_labels", `invalid labels '${text()}' with error: __name__ contains :`);
  if (labelValue(labels, LABEL_SERVICE_NAME) === "")
    refuse("missing_labels", `invalid labels '${text()}' with error: service name is not provided`);
  let out = labels;
  let previous: string | undefined;
  for (const l of labels) {
    if (utf8Length(l.name) > limits.maxLabelNameLength)
      refuse(
        "label_name_too_long",
        `profile with labels '${text()}' has label name too long: '${quoted(l.name)}'`,
        limits.maxLabelNameLength,
      );
    if (utf8Length(l.value) > limits.maxLabelValueLength)
      refuse(
        "label_value_too_long",
        `profile with labels '${text()}' has label value too long: '${quoted(l.value)}'`,
        limits.maxLabelValueLength,
      );
    if (l.name === "" || !isWellFormed(l.name))
      refuse(
        "invalid_labels",
        `invalid labels '${text()}' with error: invalid label name '${quoted(l.name)}'`,
      );
    if (!limits.disableLabelSanitization && !/^[A-Za-z_][A-Za-z0-9_]*$/.test(l.name)) {
      if (!/^[A-Za-z_.][A-Za-z0-9_.]*$/.test(l.name))
        refuse(
          "invalid_labels",
          `invalid labels '${text()}' with error: invalid label name '${quoted(l.name)}'`,
        );
      out = out.map((x) => (x === l ? { name: l.name.replaceAll(".", "_"), value: l.value } : x));
    }
    if (!isWellFormed(l.value))
      refuse(
        "invalid_labels",
        `invalid labels '${text()}' with error: invalid label value '${quoted(l.value)}'`,
      );
    if (l.name === previous)
      refuse(
        "duplicate_label_names",
        `profile with labels '${text()}' has duplicate label name: '${quoted(l.name)}'`,
      );
    previous = l.name;
  }
  if (out === labels) return labels;
  out = sortLabels([...out]);
  for (let i = out.length - 1; i > 0; i--) {
    if (out[i]!.name !== out[i - 1]!.name) continue;
    if (out[i]!.value !== out[i - 1]!.value)
      refuse(
        "duplicate_label_names",
        `profile with labels '${text()}' has duplicate label name: '${out[i]!.name}'`,
      );
    out.splice(i, 1);
  }
  return out;
}

/**
 * Labels of a stored series: the sent labels without control labels, plus the labels of the sample type.
 * Generated labels win over sent ones; empty values are dropped. With `__order__="enforced"` the profile type
 * and the service come first.
 */
export function storedLabels(
  labels: Labels,
  t: { type: string; unit: string; periodType: string; periodUnit: string; hasPeriod: boolean },
): Labels {
  const name = labelValue(labels, LABEL_NAME);
  const generated: Label[] = [
    { name: LABEL_PROFILE_TYPE, value: `${name}:${t.type}:${t.unit}:${t.periodType}:${t.periodUnit}` },
    { name: LABEL_SERVICE_NAME_PRIVATE, value: labelValue(labels, LABEL_SERVICE_NAME) },
    { name: LABEL_TYPE, value: t.type },
    { name: "__unit__", value: t.unit },
    ...(t.hasPeriod
      ? [
          { name: "__period_type__", value: t.periodType },
          { name: "__period_unit__", value: t.periodUnit },
        ]
      : []),
  ];
  const control = new Set([LABEL_DELTA, LABEL_OTEL, LABEL_ORDER, ...generated.map((l) => l.name)]);
  const out = [...labels.filter((l) => !control.has(l.name)), ...generated].filter((l) => l.value !== "");
  sortLabels(out);
  if (labelValue(labels, LABEL_ORDER) !== "enforced") return out;
  const rank = (l: Label): number =>
    l.name === LABEL_PROFILE_TYPE ? 0 : l.name === LABEL_SERVICE_NAME_PRIVATE ? 1 : 2;
  return out
    .map((l, i) => ({ l, i }))
    .sort((a, b) => rank(a.l) - rank(b.l) || a.i - b.i)
    .map((x) => x.l);
}
