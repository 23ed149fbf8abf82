import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import { CinderblockError } from "@cinderblock/errors";

/** A value of the file, or a path that is neither an option nor a section. */
export interface FileEntry {
  path: string;
  value: unknown;
  /** the file and the path, for errors */
  where: string;
}

/**
 * Reads the options of a YAML file. `${ENV}` is expanded on request; an empty section has no options.
 * @param known paths of all options @throws `invalid`
 */
export function readFile(
  file: string,
  env: NodeJS.ProcessEnv | undefined,
  known: ReadonlySet<string>,
): FileEntry[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (err) {
    throw new CinderblockError("invalid", `-config.file: ${(err as Error).message}`, { cause: err });
  }
  if (env) text = expandEnv(text, env);
  const doc = parseDocument(text, { merge: true });
  if (doc.errors.length > 0) throw new CinderblockError("invalid", `${file}: ${doc.errors[0]!.message}`);
  const sections = sectionsOf(known);
  const entries: FileEntry[] = [];
  const walk = (value: unknown, path: string): void => {
    if (!sections.has(path)) entries.push({ path, value, where: `${file}: ${path}` });
    else if (value === null || value === undefined) return;
    else if (typeof value === "object" && !Array.isArray(value))
      for (const [key, v] of Object.entries(value)) walk(v, path === "" ? key : `${path}.${key}`);
    else
      throw new CinderblockError(
        "invalid",
        `${file}: ${path === "" ? "the file" : path}: expected a mapping, found ${JSON.stringify(value)}`,
      );
  };
  walk(doc.toJS(), "");
  return entries;
}

/** Paths of the mappings around options; "" is the file itself. */
export function sectionsOf(known: Iterable<string>): Set<string> {
  const sections = new Set([""]);
  for (const path of known)
    for (let dot = path.indexOf("."); dot >= 0; dot = path.indexOf(".", dot + 1))
      sections.add(path.slice(0, dot));
  return sections;
}

function expandEnv(text: string, env: NodeJS.ProcessEnv): string {
  return text.replace(
    /\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}/g,
    (_, name: string, otherwise: string | undefined) => env[name] ?? otherwise ?? "",
  );
}
