import { accessSync, constants, existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join, resolve } from "node:path";

/** Root of the checkout. */
export const ROOT = resolve(import.meta.dirname, "../../../..");

/** Folder that keeps installed parts between runs, outside of the checkout. */
export const PARTS_FOLDER = process.env.CINDERBLOCK_PARTS ?? join(homedir(), ".cache", "cinderblock-parts");

/** Result of a search: the path of the program, package or folder, or the reason why the machine lacks it. */
export type Found = { path: string } | { reason: string };

/**
 * Steps that install a part. `npm run test:integration -- --install` runs them before Jest starts; a test
 * never does.
 */
export type Install =
  | { by: "apt"; packages: readonly string[] }
  | { by: "go"; module: string; to: string }
  | { by: "npm"; spec: string; to: string }
  | { by: "pip"; requirements: readonly string[]; to: string }
  | { by: "maven"; artifacts: readonly string[]; transitive: boolean; to: string }
  | { by: "recipe"; text: string; run: () => Promise<void> };

/** A real part that tests need: a server, a program, a client library or a set of files. */
export interface Part {
  readonly what: string;
  readonly version: string;
  /** Other parts without which the part does not run. */
  readonly needs?: readonly string[];
  /** Looks for the part. Synchronous, and starts no program. */
  readonly find: () => Found;
  /** Absent: the project never installs the part, and suites without it are skipped by name, also in CI. */
  readonly install?: Install;
}

/** Folders where Debian keeps servers, which the PATH of a user may lack. */
const SYSTEM_FOLDERS = ["/usr/sbin", "/sbin"];

/** Path of a program, searched as a shell searches it; undefined where no folder has it. */
export function onPath(program: string): string | undefined {
  for (const folder of [...(process.env.PATH ?? "").split(delimiter), ...SYSTEM_FOLDERS]) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      continue; /* not in this folder */
    }
  }
  return undefined;
}

function programs(names: readonly string[]): Found {
  const lacking = names.filter((n) => onPath(n) === undefined);
  return lacking.length === 0
    ? { path: onPath(names[0]!)! }
    : { reason: `${lacking.join(", ")} not on PATH` };
}

/** Search for a file below the folder of parts. */
function inFolder(...path: string[]): () => Found {
  const file = resolve(PARTS_FOLDER, ...path);
  return () => (existsSync(file) ? { path: file } : { reason: `${file} does not exist` });
}

interface Extra {
  needs?: readonly string[];
}

/** Part from packages of Debian or Ubuntu, found by its programs. */
export function apt(
  what: string,
  version: string,
  names: readonly string[],
  packages: readonly string[] = names,
  extra: Extra = {},
): Part {
  return { what, version, find: () => programs(names), install: { by: "apt", packages }, ...extra };
}

/** Program of a Go module, built into the folder of parts. */
export function go(what: string, module: string, file?: string, extra: Extra = {}): Part {
  const [path, version] = module.split("@") as [string, string],
    to = file ?? `${path.split("/").at(-1)!}-${version}`;
  return { what, version, find: inFolder(to), install: { by: "go", module, to }, ...extra };
}

/** Package of npm, installed into a folder of its own; its path is the folder `node_modules`. */
export function npm(what: string, spec: string): Part {
  const version = spec.slice(spec.lastIndexOf("@") + 1),
    whole = inFolder(spec, "installed");
  return {
    what,
    version,
    find: () => {
      const found = whole();
      return "path" in found ? { path: join(PARTS_FOLDER, spec, "node_modules") } : found;
    },
    install: { by: "npm", spec, to: spec },
  };
}

/** Program of PyPI, installed into a virtual environment of its own. */
export function pip(what: string, program: string, ...requirements: string[]): Part {
  const to = requirements.join("+").replaceAll("==", "-");
  return {
    what,
    version: requirements.map((r) => r.split("==")[1]!).join(", "),
    find: inFolder(to, "bin", program),
    install: { by: "pip", requirements, to },
  };
}

/** Jars from Maven's central repository; the path is their folder. */
export function maven(
  what: string,
  to: string,
  artifacts: readonly string[],
  transitive: boolean,
  needs: readonly string[],
): Part {
  return {
    what,
    version: artifacts[0]!.split(":").at(-1)!,
    needs,
    find: inFolder(to, "lib"),
    install: { by: "maven", artifacts, transitive, to },
  };
}

/** Part that several commands create below the folder of parts; its path is the resulting file or folder. */
export function recipe(
  what: string,
  version: string,
  to: string | (() => string),
  text: string,
  run: (path: string) => Promise<void>,
  extra: Extra & { proof?: string } = {},
): Part {
  const path = (): string => join(PARTS_FOLDER, typeof to === "string" ? to : to());
  const { proof, ...rest } = extra;
  return {
    what,
    version,
    find: () => {
      const found = inFolder(path(), proof ?? "")();
      return "path" in found ? { path: path() } : found;
    },
    install: { by: "recipe", text, run: () => run(path()) },
    ...rest,
  };
}

/** Files that only some machines have, named by an environment variable or next to the checkout. */
export function given(what: string, version: string, find: () => Found): Part {
  return { what, version, find };
}
