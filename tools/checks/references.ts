// Checks that each path, heading, flag and metric in documents and comments exists.
//   node tools/checks/references.ts
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { schema } from "@cinderblock/cinderblock/config";
import { repositoryFiles, textsOfSource } from "./texts.ts";

export interface Problem {
  file: string;
  line: number;
  what: string;
}

/** Existing names of the repository, for the comparison. */
export interface Known {
  /** files, folders, and both without extensions */
  paths: ReadonlySet<string>;
  /** anchors of each Markdown file, by GitHub's rule */
  anchors: ReadonlyMap<string, ReadonlySet<string>>;
  isFlag: (name: string) => boolean;
  /** whether any source defines a metric of this name, or the family of a suffixed name */
  isMetric: (name: string) => boolean;
}

/** The anchor that GitHub gives a heading. */
export function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[`*_]|\[|\]\([^)]*\)|\]/g, (m) => (m === "_" ? "_" : ""))
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replace(/\s/g, "-");
}

export function anchorsOf(markdown: string): Set<string> {
  const out = new Set<string>(),
    used = new Map<string, number>();
  for (const m of markdown.replace(/^```[\s\S]*?^```/gm, "").matchAll(/^#{1,6} +(.+)$/gm)) {
    const anchor = anchorOf(m[1]!),
      n = used.get(anchor) ?? 0;
    used.set(anchor, n + 1);
    out.add(n === 0 ? anchor : `${anchor}-${n}`);
  }
  return out;
}

/** Folders of the repository whose paths are checked in texts. */
const TOP = "apps|libs|tools|e2e|docs|charts|proto|testdata";
const PATH = new RegExp(`(?<![\\w./-])(?:${TOP})/[\\w./@-]*[\\w/]`, "g");
const FLAG = /(?<![\w.>…*-])-{1,2}([a-z][a-z0-9]*(?:[.-][a-z0-9]+)*\.[a-z0-9.-]*[a-z0-9])/g;
const METRIC = /\b((?:pyroscope|cinderblock)_[a-z0-9_]*[a-z0-9])\b(?!\*|\{?<)/g;

/** Each file, and each part of its path that ends before a slash or a dot. */
export function pathsOf(files: readonly string[]): Set<string> {
  const paths = new Set(files);
  for (const f of files) for (const { index } of f.matchAll(/[/.]/g)) paths.add(f.slice(0, index));
  return paths;
}

const existsIn = (known: Known, path: string): boolean => known.paths.has(normalize(path).replace(/\/$/, ""));

/** Flags that a text names; `-kafka.tls-*` is a pattern, not a flag. */
function flagsIn(text: string): string[] {
  return [...text.matchAll(FLAG)]
    .filter((m) => !/^[-.]?\*/.test(text.slice(m.index + m[0].length)))
    .map((m) => m[1]!);
}

/** Problems of one line of prose or code reference. */
export function problemsOfLine(known: Known, file: string, line: number, text: string): Problem[] {
  const out: Problem[] = [];
  for (const [path] of text.matchAll(PATH)) {
    const after = text[text.indexOf(path) + path.length] ?? "";
    if ("*<{$…".includes(after) && after !== "") continue; // a pattern, not a path
    if (!existsIn(known, path)) out.push({ file, line, what: `path ${path} does not exist` });
  }
  return out;
}

function problemsOfMarkdown(known: Known, file: string, source: string): Problem[] {
  const out: Problem[] = [];
  let fenced = false;
  source.split("\n").forEach((text, i) => {
    const line = i + 1;
    if (/^\s*```/.test(text)) fenced = !fenced;
    for (const m of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      const [target = "", anchor] = m[1]!.split("#");
      if (/^[a-z]+:/.test(target)) continue;
      const path = target === "" ? file : normalize(join(dirname(file), target));
      if (!existsIn(known, path)) out.push({ file, line, what: `link ${m[1]} leads nowhere` });
      else if (anchor !== undefined && known.anchors.has(path) && !known.anchors.get(path)!.has(anchor))
        out.push({ file, line, what: `link ${m[1]}: ${path} has no heading #${anchor}` });
    }
    for (const m of text.matchAll(/`([^`]+)`/g)) {
      out.push(...problemsOfLine(known, file, line, m[1]!));
      for (const f of flagsIn(m[1]!))
        if (!known.isFlag(f)) out.push({ file, line, what: `flag -${f} does not exist` });
      for (const f of m[1]!.matchAll(METRIC))
        if (!known.isMetric(f[1]!)) out.push({ file, line, what: `metric ${f[1]} does not exist` });
    }
    if (fenced)
      for (const f of flagsIn(text))
        if (!known.isFlag(f)) out.push({ file, line, what: `flag -${f} does not exist` });
  });
  return out;
}

/** Comments: paths, and citations like `docs/correctness.md, "Order of a cut"`. */
function problemsOfSource(known: Known, file: string, source: string): Problem[] {
  return textsOfSource(file, source)
    .filter((t) => t.kind === "comment")
    .flatMap(({ text, line }) => [
      ...text.split("\n").flatMap((l, i) => problemsOfLine(known, file, line + i, l)),
      ...[...text.replace(/\s+/g, " ").matchAll(/(docs\/[\w/-]+\.md),? "([^"]+)"/g)].flatMap((m) =>
        known.anchors.get(m[1]!)?.has(anchorOf(m[2]!)) === false
          ? [{ file, line, what: `${m[1]} has no heading "${m[2]}"` }]
          : [],
      ),
      ...[...text.matchAll(/\b(correctness rule \d+|api\.md §|block-format §|block-format:)/g)].map((m) => ({
        file,
        line,
        what: `${m[1]} cites a page that is not in the repository`,
      })),
    ]);
}

export function problems(known: Known, sources: ReadonlyMap<string, string>): Problem[] {
  return [...sources].flatMap(([file, source]) =>
    file.endsWith(".md") ? problemsOfMarkdown(known, file, source) : problemsOfSource(known, file, source),
  );
}

/** Documents that quote Pyroscope v1's own flags and metrics, or lists of results. */
const QUOTES_V1 = new Set<string>(["docs/long-tests.md", "docs/reference/v1-options.md"]);

function main(): number {
  const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
  const all = repositoryFiles(root, /./).filter((f) => existsSync(join(root, f)));
  const read = (f: string): string => readFileSync(join(root, f), "utf8");
  const checked = all.filter(
    (f) => /\.(md|ts|tsx)$/.test(f) && !/\/gen\/|^tools\/checks\/|\/golden\//.test(f) && !QUOTES_V1.has(f),
  );
  // The loader parses these flags itself, before any schema.
  const flags = new Set([
    ...Object.values(schema).map((o) => o.flag),
    "config.file",
    "config.expand-env",
    "config.check",
  ]);
  const code = all
    .filter((f) => /^(apps|libs)\/.*\.tsx?$/.test(f) && !/\.test\.ts$/.test(f))
    .map(read)
    .join("\n");
  const metrics = new Set(
    [...code.matchAll(/["'`]((?:pyroscope|cinderblock)_[a-z0-9_]+)/g)].map((m) => m[1]!),
  );
  const known: Known = {
    paths: pathsOf(all),
    anchors: new Map(all.filter((f) => f.endsWith(".md")).map((f) => [f, anchorsOf(read(f))])),
    isFlag: (name) => flags.has(name),
    isMetric: (name) =>
      [name, name.replace(/_(bucket|sum|count|total)$/, ""), `${name}_total`].some((n) => metrics.has(n)) ||
      [...metrics].some((m) => m.startsWith(`${name}_`) || (m.endsWith("_") && name.startsWith(m))),
  };
  const found = problems(known, new Map(checked.map((f) => [f, read(f)])));
  for (const p of found) process.stdout.write(`${p.file}:${p.line} ${p.what}\n`);
  process.stdout.write(`references: ${checked.length} files, ${found.length} problems\n`);
  return found.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = main();
