// Writes the imports of each project into its package.json: imports of sources under dependencies, those of
// tests and tools under devDependencies. Only the root has versions. --check compares instead.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import ts from "typescript";

interface Manifest {
  name: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  nx?: object;
}

const root = join(import.meta.dirname, "..");
const check = process.argv.includes("--check");
const TEST = /\.(test|testing|bench|e2e)\.ts$|(^|\/)(jest|vite)\.config\.\w+$|^(e2e|tools|libs\/testkit)\//;
/** Packages without an import: found by path, or by a tool. */
const UNNAMED: Record<string, readonly string[]> = { tools: ["semver"] };

/** The project of a file, by its folder. */
function projectOf(file: string): string {
  const [first, second] = file.split("/") as [string, string];
  return first === "apps" || first === "libs" ? `${first}/${second}` : first;
}

/** The packages that a file imports. */
function packagesOf(file: string): string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(join(root, file), "utf8"), true, true);
  return importedFiles
    .map((f) => f.fileName)
    .filter((name) => !/^(\.|node:)/.test(name) && !builtinModules.includes(name))
    .map((name) =>
      name
        .split("/")
        .slice(0, name.startsWith("@") ? 2 : 1)
        .join("/"),
    );
}

const section = (names: Iterable<string>): Record<string, string> =>
  Object.fromEntries([...names].sort().map((n) => [n, "*"]));

const imports = new Map<string, { sources: Set<string>; tests: Set<string> }>();
const tracked = execFileSync(
  "git",
  ["ls-files", "-co", "--exclude-standard", "apps", "libs", "tools", "e2e"],
  {
    cwd: root,
    encoding: "utf8",
  },
);
for (const file of tracked.split("\n")) {
  if (!/\.(ts|tsx|mjs)$/.test(file) || file.includes("/assembly/") || !existsSync(join(root, file))) continue;
  const project = projectOf(file);
  const own = imports.get(project) ?? { sources: new Set(), tests: new Set(UNNAMED[project]) };
  imports.set(project, own);
  for (const name of packagesOf(file)) (TEST.test(file) ? own.tests : own.sources).add(name);
}
for (const [project, { sources, tests }] of imports) {
  const path = join(root, project, "package.json");
  const { dependencies, devDependencies, nx, ...rest } = JSON.parse(readFileSync(path, "utf8")) as Manifest;
  sources.delete(rest.name);
  const dev = section([...tests].filter((n) => n !== rest.name && !sources.has(n)));
  const wanted = {
    ...rest,
    ...(sources.size > 0 ? { dependencies: section(sources) } : {}),
    ...(Object.keys(dev).length > 0 ? { devDependencies: dev } : {}),
    ...(nx === undefined ? {} : { nx }),
  };
  const same =
    JSON.stringify([dependencies, devDependencies]) ===
    JSON.stringify([wanted.dependencies, wanted.devDependencies]);
  if (same) continue;
  if (!check) writeFileSync(path, `${JSON.stringify(wanted, null, 2)}\n`);
  else {
    console.error(`${project}/package.json does not declare what the project imports; run npm run sync`);
    process.exitCode = 1;
  }
}
