// Finds exports of a library without a doc comment (docs/contributing/writing.md, "Comments"). The walk is
// syntactic, without types, so that the check of all libraries stays quick.
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import ts from "typescript";

/** Reads a source file by its path with "/"; throws for a missing file. */
export type ReadSource = (file: string) => string;

/** Whether a declaration, or the name in a list of declared constants, has a doc comment directly above. */
function hasDoc(node: ts.Node, source: ts.SourceFile): boolean {
  return (ts.getLeadingCommentRanges(source.text, node.getFullStart()) ?? []).some((range) =>
    source.text.startsWith("/**", range.pos),
  );
}

/** Names that a statement declares, and whether each has a doc comment. */
function declared(s: ts.Statement, source: ts.SourceFile): [name: string, documented: boolean][] {
  if (ts.isVariableStatement(s))
    return s.declarationList.declarations.flatMap((d): [string, boolean][] =>
      ts.isIdentifier(d.name) ? [[d.name.text, hasDoc(s, source) || hasDoc(d, source)]] : [],
    );
  return ts.isFunctionDeclaration(s) ||
    ts.isClassDeclaration(s) ||
    ts.isInterfaceDeclaration(s) ||
    ts.isTypeAliasDeclaration(s) ||
    ts.isEnumDeclaration(s)
    ? [[s.name?.text ?? "default", hasDoc(s, source)]]
    : [];
}

/** A parsed file: its statements, and name -> whether one of its declarations has a doc comment. */
interface ParsedFile {
  source: ts.SourceFile;
  documented: ReadonlyMap<string, boolean>;
}

function parse(file: string, text: string): ParsedFile {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, false),
    documented = new Map<string, boolean>();
  for (const s of source.statements)
    for (const [name, has] of declared(s, source)) documented.set(name, has || documented.get(name) === true);
  return { source, documented };
}

function isExported(s: ts.Statement): boolean {
  return ts.canHaveModifiers(s)
    ? (ts.getModifiers(s) ?? []).some((m) => m.kind === ts.SyntaxKind.ExportKeyword)
    : false;
}

/**
 * Exports of an entry file that have no doc comment where they are declared, as `file: name`. Follows
 * re-exports by relative path; generated code and other packages are left out.
 */
export function undocumentedExports(entry: string, read: ReadSource): string[] {
  const files = new Map<string, ParsedFile>();
  const parsed = (file: string): ParsedFile => {
    let found = files.get(file);
    if (!found) files.set(file, (found = parse(file, read(file))));
    return found;
  };
  /** Problems of one export, where it is declared or re-exported. */
  const check = (file: string, name: string): string[] => {
    const { source, documented } = parsed(file),
      has = documented.get(name);
    if (has !== undefined) return has ? [] : [`${file}: ${name}`];
    for (const s of source.statements) {
      if (!ts.isExportDeclaration(s) || !s.exportClause || !ts.isNamedExports(s.exportClause)) continue;
      const element = s.exportClause.elements.find((e) => e.name.text === name);
      if (element) return target(file, s, (element.propertyName ?? element.name).text);
    }
    return [`${file}: ${name} is not declared there`];
  };
  const target = (file: string, s: ts.ExportDeclaration, name: string): string[] => {
    if (!s.moduleSpecifier) return check(file, name);
    const module = (s.moduleSpecifier as ts.StringLiteral).text;
    if (!module.startsWith(".") || module.includes("/gen/")) return [];
    return check(posix.join(posix.dirname(file), module), name);
  };
  const { source, documented } = parsed(entry);
  const found = source.statements.flatMap((s) => {
    if (!ts.isExportDeclaration(s))
      return isExported(s)
        ? declared(s, source).flatMap(([name]) => (documented.get(name) ? [] : [`${entry}: ${name}`]))
        : [];
    if (!s.exportClause || !ts.isNamedExports(s.exportClause))
      return [`${entry}: name the exports one by one`];
    return s.exportClause.elements.flatMap((e) => target(entry, s, (e.propertyName ?? e.name).text));
  });
  return [...new Set(found)];
}

/** Entry files of all libraries, from `exports` of their package.json. */
export function libraryEntries(root: string): string[] {
  return readdirSync(join(root, "libs")).flatMap((lib) => {
    const { exports } = JSON.parse(readFileSync(join(root, "libs", lib, "package.json"), "utf8")) as {
      exports: Record<string, string>;
    };
    return Object.values(exports).map((file) => posix.join("libs", lib, file));
  });
}
