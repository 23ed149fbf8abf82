import { parseDocument, stringify } from "yaml";
import { CinderblockError } from "@cinderblock/errors";

/** A YAML document as plain values. @param name what to call it in an error */
export function parseYaml(text: string, name: string): unknown {
  const doc = parseDocument(text);
  if (doc.errors.length > 0) throw new CinderblockError("invalid", `${name}: ${doc.errors[0]!.message}`);
  return doc.toJS() as unknown;
}

export function stringifyYaml(value: unknown): string {
  return stringify(value);
}
