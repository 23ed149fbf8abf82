// Draws 60 places for a reading test of docs/contributing/writing.md: a fresh reader explains each text
// without its context. The commit's ID seeds the draw, so that a commit always gives the same places.
//   node tools/checks/draw.ts [commit]
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { repositoryFiles, type Text, textsOfSource } from "./texts.ts";

/** Places per kind: comments, exported names, and texts for operators. */
const PLACES = 20;

/** Sources of the product, without generated code, tests and test tools. */
const SOURCES =
  /^(?!libs\/testkit\/|.*\/gen\/|.*\.(test|testing|bench)\.tsx?$)(apps|libs)\/[^/]+\/src\/.*\.tsx?$/;

/** Exported names of one source: functions, classes with their public methods, types and constants. */
export function exportedNames(file: string, source: string): Text[] {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, false);
  const out: Text[] = [];
  const note = (node: ts.Node, text: string): void => {
    out.push({ file, line: tree.getLineAndCharacterOfPosition(node.pos).line + 1, kind: "string", text });
  };
  const isExported = (node: ts.Statement): boolean =>
    ts.canHaveModifiers(node) &&
    (ts.getModifiers(node)?.some((m) => m.kind === ts.SyntaxKind.ExportKeyword) ?? false);
  for (const node of tree.statements) {
    if (!isExported(node)) continue;
    if (ts.isVariableStatement(node)) {
      for (const d of node.declarationList.declarations) if (ts.isIdentifier(d.name)) note(node, d.name.text);
    } else if (
      ts.isFunctionDeclaration(node) ||
      ts.isInterfaceDeclaration(node) ||
      ts.isTypeAliasDeclaration(node)
    ) {
      if (node.name) note(node, node.name.text);
    } else if (ts.isClassDeclaration(node) && node.name) {
      note(node, node.name.text);
      for (const m of node.members)
        if (
          ts.isMethodDeclaration(m) &&
          ts.isIdentifier(m.name) &&
          !ts.getModifiers(m)?.some((x) => x.kind === ts.SyntaxKind.PrivateKeyword)
        )
          note(m, `${node.name.text}.${m.name.text}`);
    }
  }
  return out;
}

/** Selects `count` texts: those with the smallest hashes of seed and place, so that the order is random. */
export function drawPlaces(texts: readonly Text[], seed: string, count: number): Text[] {
  const key = (t: Text): string =>
    createHash("sha256").update(`${seed}\0${t.file}\0${t.line}\0${t.text}`).digest("hex");
  return texts
    .map((text) => ({ text, key: key(text) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .slice(0, count)
    .map((x) => x.text);
}

function main(commit: string): void {
  const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
  const { stdout } = spawnSync("git", ["rev-parse", commit], { cwd: root, encoding: "utf8" });
  const seed = stdout.trim();
  if (!/^[0-9a-f]{40}$/.test(seed)) throw new Error(`${commit} is not a commit`);
  const files = repositoryFiles(root, SOURCES).map((f) => [f, readFileSync(join(root, f), "utf8")] as const);
  const texts = files.flatMap(([f, source]) => textsOfSource(f, source));
  const kinds: readonly (readonly [string, readonly Text[]])[] = [
    ["Comments", texts.filter((t) => t.kind === "comment")],
    ["Names", files.flatMap(([f, source]) => exportedNames(f, source))],
    ["Texts for operators", texts.filter((t) => t.kind === "string")],
  ];
  process.stdout.write(`Commit ${seed}\n`);
  for (const [title, all] of kinds) {
    process.stdout.write(`\n${title}\n`);
    for (const t of drawPlaces(all, seed, PLACES))
      process.stdout.write(
        `- ${t.file}:${t.line} ${JSON.stringify(t.text.replaceAll(/\s+/g, " ").trim())}\n`,
      );
  }
}

if (import.meta.main) main(process.argv[2] ?? "HEAD");
