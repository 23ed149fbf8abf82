import { parseDocument, stringify } from "yaml";
import { CinderblockError } from "@cinderblock/errors";

/** Parses a YAML document to plain values. @param name name of the document in errors @throws `invalid` */
export function parseYaml(text: string, name: string): unknown {
  const doc = parseDocument(text);
  if (doc.errors.length > 0) throw new CinderblockError("invalid", `${name}: ${doc.errors[0]!.message}`);
  return doc.toJS() as unknown;
}

/** Formats a value as YAML. */
export function stringifyYaml(value: unknown): string {
  return stringify(value);
}
