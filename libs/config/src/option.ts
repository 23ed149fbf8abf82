import { CinderblockError } from "@cinderblock/errors";
import { parseYaml } from "./yaml.ts";

/** One option: its flag, its YAML path, its kind and its default. */
export interface Option<T> {
  readonly flag: string;
  /** path in the YAML file, with dots between sections */
  readonly yaml: string;
  readonly kind: "string" | "int" | "float" | "bool" | "duration" | "secret" | "yaml";
  readonly initial: T;
  readonly doc: string;
  readonly choices?: readonly string[];
  readonly min?: number;
  /** several values, separated by commas; in YAML also a list, as in v1 */
  readonly list?: boolean;
  /** for `yaml`: checks and converts a value */
  readonly parse?: (value: unknown, where: string) => T;
}

/** Options by their name in the configuration object. */
export type Schema = Record<string, Option<unknown>>;
/** Configuration object of a schema. */
export type ConfigOf<S extends Schema> = {
  -readonly [K in keyof S]: S[K] extends Option<infer T> ? T : never;
};

type Extra = { choices?: readonly string[]; min?: number; list?: boolean };
/** Flag and YAML path, derived from the flag if they are alike. */
function names(flag: string, yaml: string | undefined): { flag: string; yaml: string } {
  return { flag, yaml: yaml ?? flag.replaceAll("-", "_") };
}

/** Declares a string option. */
export function str(
  flag: string,
  yaml: string | undefined,
  initial: string,
  doc: string,
  extra: Extra = {},
): Option<string> {
  return { ...names(flag, yaml), kind: "string", initial, doc, ...extra };
}
/** Declares a string option that every output masks. */
export function secret(flag: string, yaml: string | undefined, doc: string): Option<string> {
  return { ...names(flag, yaml), kind: "secret", initial: "", doc };
}
/** Declares an integer option. */
export function int(
  flag: string,
  yaml: string | undefined,
  initial: number,
  doc: string,
  extra: Extra = {},
): Option<number> {
  return { ...names(flag, yaml), kind: "int", initial, doc, ...extra };
}
/** Declares a floating-point option. */
export function float(
  flag: string,
  yaml: string | undefined,
  initial: number,
  doc: string,
  extra: Extra = {},
): Option<number> {
  return { ...names(flag, yaml), kind: "float", initial, doc, ...extra };
}
/** Declares a Boolean option. */
export function bool(flag: string, yaml: string | undefined, initial: boolean, doc: string): Option<boolean> {
  return { ...names(flag, yaml), kind: "bool", initial, doc };
}
/** An option with a list or mapping: YAML in the file, YAML or JSON text in a flag. */
export function yaml<T>(
  flag: string,
  path: string | undefined,
  initial: T,
  doc: string,
  parse: (value: unknown, where: string) => T,
): Option<T> {
  return { ...names(flag, path), kind: "yaml", initial, doc, parse };
}
/** An option in milliseconds; its notation is Go's, plus d, w and y */
export function duration(
  flag: string,
  yaml: string | undefined,
  initial: string,
  doc: string,
): Option<number> {
  return { ...names(flag, yaml), kind: "duration", initial: parseDuration(initial), doc };
}

const UNIT: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1e3,
  m: 6e4,
  h: 36e5,
  d: 864e5,
  w: 7 * 864e5,
  y: 365 * 864e5,
};

/** Milliseconds of a duration in Go's notation, plus d, w and y. @throws `invalid` */
export function parseDuration(text: string): number {
  const t = text.trim();
  if (t === "0") return 0;
  const sign = t.startsWith("-") ? -1 : 1;
  const body = t.replace(/^[+-]/, "");
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w|y))+$/.test(body))
    throw new CinderblockError(
      "invalid",
      `not a valid duration: ${JSON.stringify(text)}; expected a duration such as 30s, 1h30m or 7d`,
    );
  let ms = 0;
  for (const [, n, unit] of body.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|w|y)/g))
    ms += Number(n) * UNIT[unit!]!;
  return sign * ms;
}

/** A duration of milliseconds in Go's notation. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  for (const [unit, size] of [
    ["w", 7 * 864e5],
    ["d", 864e5],
  ] as const)
    if (ms % size === 0) return `${ms / size}${unit}`;
  if (ms < 1000) return `${ms}ms`;
  const h = Math.floor(ms / 36e5),
    m = Math.floor((ms % 36e5) / 6e4),
    s = (ms % 6e4) / 1000;
  return `${h > 0 ? `${h}h` : ""}${h > 0 || m > 0 ? `${m}m` : ""}${s}s`;
}

/** Checks and converts a value from a flag or from YAML. @throws `invalid` */
export function parseValue(o: Option<unknown>, raw: unknown, where: string): unknown {
  if (o.kind === "yaml") return o.parse!(typeof raw === "string" ? parseYaml(raw, where) : raw, where);
  const wrong = (expected: string): never => {
    throw new CinderblockError("invalid", `${where}: expected ${expected}, found ${JSON.stringify(raw)}`);
  };
  if (o.list && Array.isArray(raw) && raw.every((x) => typeof x === "string" || typeof x === "number"))
    return raw.join(",");
  const scalar =
    typeof raw === "string" || typeof raw === "number" || typeof raw === "boolean"
      ? String(raw)
      : raw === null
        ? ""
        : wrong(`a ${o.kind}`);
  switch (o.kind) {
    case "string":
    case "secret":
      if (o.choices && !o.choices.includes(scalar)) wrong(`one of ${o.choices.join(", ")}`);
      return scalar;
    case "bool":
      if (["true", "1", "t", "T", "TRUE", "True"].includes(scalar)) return true;
      if (["false", "0", "f", "F", "FALSE", "False"].includes(scalar)) return false;
      return wrong("true or false");
    case "int":
    case "float": {
      const n = Number(scalar);
      if (scalar.trim() === "" || !Number.isFinite(n) || (o.kind === "int" && !Number.isSafeInteger(n)))
        wrong(o.kind === "int" ? "a whole number" : "a number");
      if (o.min !== undefined && n < o.min) wrong(`at least ${o.min}`);
      return n;
    }
    case "duration":
      try {
        return parseDuration(scalar);
      } catch {
        return wrong("a duration like 30s, 1h30m or 7d");
      }
  }
}

/** Text of an option's value for YAML and help; secrets are masked. */
export function formatValue(o: Option<unknown>, value: unknown): string {
  if (o.kind === "secret") return value === "" ? "" : "<redacted>";
  if (o.kind === "yaml") return JSON.stringify(value);
  return o.kind === "duration" ? formatDuration(value as number) : String(value);
}
