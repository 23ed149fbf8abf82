import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { createProjectGraphAsync, type ProjectGraph } from "@nx/devkit";
import { ROOT } from "./root.ts";
import type { Suite } from "./suites.ts";

function git(...args: string[]): string | undefined {
  const r = spawnSync("git", args, { cwd: ROOT, encoding: "utf8", maxBuffer: 1 << 26 });
  return r.status === 0 ? r.stdout : undefined;
}

/**
 * Base commit of the changes: NX_BASE, or the newest ancestor older than a day; undefined if neither exists.
 */
export function baseCommit(): string | undefined {
  const { NX_BASE } = process.env;
  const found =
    NX_BASE === undefined || NX_BASE === ""
      ? git("rev-list", "-1", "--before=24 hours ago", "HEAD")
      : git("rev-parse", "--verify", "--quiet", `${NX_BASE}^{commit}`);
  return found?.trim() || undefined;
}

/** Files that differ from a commit, including uncommitted ones. */
export function changedFiles(base: string): string[] {
  const committed = git("diff", "--name-only", base) ?? "",
    untracked = git("ls-files", "--others", "--exclude-standard") ?? "";
  return [...new Set(`${committed}${untracked}`.split("\n").filter((f) => f !== ""))];
}

/** Paths that can change the result of every suite. */
const EVERYWHERE = [
  "package.json",
  "package-lock.json",
  "jest.preset.mjs",
  "jest.e2e.config.mjs",
  "tsconfig.base.json",
  "tools/build/",
  "tools/test/",
  "tools/jest-environment.ts",
  "libs/testkit/",
  ".ci/",
];

const under = (file: string, paths: readonly string[]): boolean =>
  paths.some((p) => (p.endsWith("/") ? file.startsWith(p) : file === p));

/**
 * Projects that a change of these files affects: those with the files, and all projects that depend on these.
 */
export function affectedProjects(graph: ProjectGraph, files: readonly string[]): Set<string> {
  const roots = Object.values(graph.nodes).map((n) => [n.name, `${n.data.root}/`] as const),
    affected = new Set<string>();
  const dependants = new Map<string, string[]>();
  for (const { source, target } of Object.values(graph.dependencies).flat())
    dependants.set(target, [...(dependants.get(target) ?? []), source]);
  const add = (name: string): void => {
    if (affected.has(name)) return;
    affected.add(name);
    for (const d of dependants.get(name) ?? []) add(d);
  };
  // Tests and documents of a project do not change the behavior of its programs.
  for (const file of files.filter((f) => !/\.(test|testing|bench)\.ts$|\.md$/.test(f)))
    for (const [name, root] of roots) if (file.startsWith(root)) add(name);
  return affected;
}

/** A suite's file and its direct and indirect imports by relative paths. */
export function closure(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file) || !existsSync(join(ROOT, file))) return seen;
  seen.add(file);
  const text = readFileSync(join(ROOT, file), "utf8");
  for (const [, path] of text.matchAll(/(?:from |import\()"(\.[^"]+)"/g))
    closure(normalize(join(dirname(file), path!)), seen);
  return seen;
}

/** Suites to run for changes of these files. */
export function suitesFor(
  files: readonly string[],
  suites: readonly Suite[],
  affected: ReadonlySet<string>,
): Suite[] {
  if (files.some((f) => under(f, EVERYWHERE))) return [...suites];
  return suites.filter((s) => {
    const own = closure(s.file);
    return s.subjects.some((p) => affected.has(p)) || files.some((f) => own.has(f) || under(f, s.inputs));
  });
}

/** Suites to run for the changes since the base commit; all suites without a base. */
export async function changedSuites(suites: readonly Suite[]): Promise<Suite[]> {
  const base = baseCommit();
  if (base === undefined) {
    console.log("no commit to compare with: all suites");
    return [...suites];
  }
  const files = changedFiles(base),
    graph = await createProjectGraphAsync({ exitOnError: true }),
    chosen = suitesFor(files, suites, affectedProjects(graph, files));
  console.log(
    `${files.length} files changed since ${base.slice(0, 12)}: ${chosen.length} of ${suites.length} suites`,
  );
  return chosen;
}
