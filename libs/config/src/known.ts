import { CinderblockError } from "@cinderblock/errors";
import { type Option, parseDuration, parseValue } from "./option.ts";

/** Names and value rules of an option that another component of Cinderblock has. */
export type ComponentOption = Pick<Option<unknown>, "flag" | "yaml" | "kind" | "choices" | "min" | "list">;

/** Effect on Cinderblock of an option that Pyroscope declares. */
export type OptionEffect =
  /** sets Cinderblock's option with the flag `to` */
  | { readonly is: "mapped"; readonly to: string }
  /** has no counterpart, or no effect that an operator relies on; `why` completes "no effect: …" */
  | { readonly is: "meaningless" | "warned"; readonly why: string }
  /** would be unsafe to ignore; `why` says what to set instead */
  | { readonly is: "refused"; readonly why: string };

/** An option that another system declares, with the effect of its values here. */
export interface ForeignOption {
  /** flag; empty for an option of the file alone */
  readonly flag: string;
  /** path in the YAML file; empty for a flag alone */
  readonly yaml: string;
  readonly kind: "string" | "int" | "float" | "bool" | "duration" | "list" | "any";
  /** the other system's default values; accepted silently */
  readonly defaults: readonly string[];
  /** further values that this system satisfies without an option */
  readonly fits?: readonly string[];
  readonly outcome: OptionEffect;
}

/** Names outside the schema that a program knows. */
export interface KnownNames {
  /** options of other components, accepted and checked without an effect on this program */
  others: readonly ComponentOption[];
  foreign: readonly ForeignOption[];
  /** whether flags may also name options outside the schema; files always may */
  flags: "all" | "schema";
}

/** A value's text; lists are joined by commas. */
function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map(textOf).join(",");
  return typeof value === "object" ? JSON.stringify(value) : String(value as string | number | boolean);
}

/** Whether two texts stand for the same value. */
function same(kind: ForeignOption["kind"], a: string, b: string): boolean {
  if (a === b) return true;
  if (a === "" || b === "") return false;
  if (kind === "duration") return parseDuration(a) === parseDuration(b);
  if (kind === "int" || kind === "float") return Number(a) === Number(b);
  const items = (s: string): string =>
    s
      .split(",")
      .map((x) => x.trim())
      .join(",");
  return kind === "list" && items(a) === items(b);
}

/**
 * Checks a value of a foreign option, and compares it with the values that need no action.
 * @throws `invalid` for a value of another type
 */
export function isDefault(o: ForeignOption, value: unknown, where: string): boolean {
  const composed = o.kind === "any" || o.kind === "list";
  if (value === null) return true;
  if (composed && typeof value === "object" && Object.keys(value as object).length === 0) return true;
  if (typeof value === "object" && o.kind !== "any" && !(o.kind === "list" && Array.isArray(value)))
    throw new CinderblockError(
      "invalid",
      `${where}: expected a ${o.kind}, found a ${Array.isArray(value) ? "list" : "mapping"}`,
    );
  let text = textOf(value);
  if (o.kind === "bool" || o.kind === "int" || o.kind === "float" || o.kind === "duration")
    text = String(
      parseValue({ flag: o.flag, yaml: o.yaml, kind: o.kind, initial: "", doc: "" }, text, where),
    );
  // parseValue gives milliseconds for a duration
  if (o.kind === "duration") text += "ms";
  return [...o.defaults, ...(o.fits ?? [])].some((d) => same(o.kind, text, d));
}
