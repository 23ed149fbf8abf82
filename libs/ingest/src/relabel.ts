import { invalidError } from "@cinderblock/errors";
import { compileAnchored, type AnchoredPattern, type Label, sortLabels } from "@cinderblock/model";
import type { RelabelRule } from "@cinderblock/tenant";

const ACTIONS: readonly RelabelRule["action"][] = [
  "replace",
  "keep",
  "drop",
  "keepequal",
  "dropequal",
  "hashmod",
  "labelmap",
  "labeldrop",
  "labelkeep",
  "lowercase",
  "uppercase",
];

/**
 * Parses and checks rules in configuration form (`source_labels`, `target_label`, …).
 * @param where name of the rules in errors
 * @throws `invalid`
 */
export function parseRelabelRules(
  value: unknown,
  where: string,
  actions: readonly RelabelRule["action"][] = ACTIONS,
): RelabelRule[] {
  if (value === null || value === undefined || value === "") return [];
  if (!Array.isArray(value)) throw invalidError(`${where}: expected a list of rules`);
  return value.map((raw, i) => rule(raw, `${where}: rule ${i + 1}`, actions));
}

function rule(raw: unknown, where: string, actions: readonly RelabelRule["action"][]): RelabelRule {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw))
    throw invalidError(`${where}: expected keys and values`);
  const r = raw as Record<string, unknown>;
  for (const key of Object.keys(r))
    if (
      !["action", "source_labels", "separator", "regex", "modulus", "target_label", "replacement"].includes(
        key,
      )
    )
      throw invalidError(`${where}: unknown key ${key}`);
  const text = (key: string, otherwise: string): string => {
    const v = r[key] ?? otherwise;
    if (typeof v !== "string" && typeof v !== "number" && typeof v !== "boolean")
      throw invalidError(`${where}: ${key}: expected a string`);
    return String(v);
  };
  const action = text("action", "replace").toLowerCase(),
    sources = r.source_labels ?? [];
  if (!(actions as readonly string[]).includes(action))
    throw invalidError(`${where}: action ${JSON.stringify(action)}: expected one of ${actions.join(", ")}`);
  if (!Array.isArray(sources) || sources.some((s) => typeof s !== "string"))
    throw invalidError(`${where}: source_labels: expected a list of names`);
  const out: RelabelRule = {
    action: action as RelabelRule["action"],
    sourceLabels: sources as string[],
    separator: text("separator", ";"),
    regex: text("regex", "(.*)"),
    modulus: Number(r.modulus ?? 0),
    targetLabel: text("target_label", ""),
    replacement: text("replacement", "$1"),
  };
  compiled(out, where);
  if (
    ["replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal"].includes(action) &&
    out.targetLabel === ""
  )
    throw invalidError(`${where}: ${action} needs a target_label`);
  if (action === "hashmod" && !(Number.isSafeInteger(out.modulus) && out.modulus > 0))
    throw invalidError(`${where}: hashmod needs a modulus above 0`);
  return out;
}

const patterns = new WeakMap<RelabelRule, AnchoredPattern>();
function compiled(r: RelabelRule, where: string): AnchoredPattern {
  let re = patterns.get(r);
  if (re) return re;
  try {
    re = compileAnchored(r.regex);
  } catch (err) {
    throw invalidError(`${where}: regex: ${(err as Error).message}`);
  }
  patterns.set(r, re);
  return re;
}

/**
 * MD5 of a text. The module is loaded on first use: few processes have such a rule, and an import would cost
 * memory in every thread.
 */
function md5(text: string): Buffer {
  return process.getBuiltinModule("node:crypto").createHash("md5").update(text).digest();
}

/**
 * Labels after the rules, sorted by name; undefined if a rule drops them. An empty value removes its label.
 */
export function relabelSeries(labels: readonly Label[], rules: readonly RelabelRule[]): Label[] | undefined {
  const values = new Map(labels.map((l) => [l.name, l.value]));
  const set = (name: string, value: string): void => {
    if (value === "") values.delete(name);
    else values.set(name, value);
  };
  for (const r of rules) {
    const value = r.sourceLabels.map((n) => values.get(n) ?? "").join(r.separator);
    const match = (text: string): ReturnType<AnchoredPattern["matcher"]> | undefined => {
      const m = compiled(r, "relabelling").matcher(text);
      return m.find() ? m : undefined;
    };
    switch (r.action) {
      case "drop":
        if (match(value)) return undefined;
        break;
      case "keep":
        if (!match(value)) return undefined;
        break;
      case "dropequal":
        if ((values.get(r.targetLabel) ?? "") === value) return undefined;
        break;
      case "keepequal":
        if ((values.get(r.targetLabel) ?? "") !== value) return undefined;
        break;
      case "replace": {
        const m = match(value);
        if (!m) break;
        const target = expand(r.targetLabel, m);
        if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(target)) set(target, expand(r.replacement, m));
        break;
      }
      case "lowercase":
        set(r.targetLabel, value.toLowerCase());
        break;
      case "uppercase":
        set(r.targetLabel, value.toUpperCase());
        break;
      case "hashmod":
        set(r.targetLabel, String(md5(value).readBigUInt64BE(8) % BigInt(r.modulus)));
        break;
      case "labelmap":
        for (const [name, v] of [...values]) {
          const m = match(name);
          if (m) set(expand(r.replacement, m), v);
        }
        break;
      case "labeldrop":
        for (const name of [...values.keys()]) if (match(name)) values.delete(name);
        break;
      case "labelkeep":
        for (const name of [...values.keys()]) if (!match(name)) values.delete(name);
        break;
    }
  }
  return sortLabels([...values].map(([name, value]) => ({ name, value })));
}

/** Whether rules of `keep` and `drop` keep these labels. */
export function isSampleTypeKept(labels: readonly Label[], rules: readonly RelabelRule[]): boolean {
  return relabelSeries(labels, rules) !== undefined;
}

/** Expands `$1`, `${1}` and `${name}` in a template; unknown groups are empty, `$$` is a dollar. */
function expand(template: string, m: ReturnType<AnchoredPattern["matcher"]>): string {
  return template.replace(
    /\$(?:\$|(\w+)|\{(\w+)\})/g,
    (whole, a: string | undefined, b: string | undefined) => {
      const name = a ?? b;
      if (name === undefined) return whole === "$$" ? "$" : whole;
      try {
        return m.group(/^\d+$/.test(name) ? Number(name) : name) ?? "";
      } catch {
        return "";
      } // the pattern has no group of this name
    },
  );
}
