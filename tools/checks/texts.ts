// Extracts prose from the repository's files, with file and line.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

/** One piece of prose: a comment, a string for people, a test title, or a paragraph of Markdown. */
export interface Text {
  file: string;
  /** 1-based */
  line: number;
  kind: "comment" | "string" | "markdown";
  text: string;
}

/** Files of the repository that match a pattern: tracked or new, not ignored. */
export function repositoryFiles(root: string, pattern: RegExp): string[] {
  const { stdout, status } = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error("git ls-files failed: run inside of a checkout");
  return stdout.split("\n").filter((f) => f !== "" && pattern.test(f));
}

/** A string reads as prose when it has at least three words and no code punctuation in most of them. */
function isProse(text: string): boolean {
  const words = text.trim().split(/\s+/);
  return (
    words.length >= 3 && words.filter((w) => /^[\p{L}'’,.:;()"-]+$/u.test(w)).length >= words.length * 0.6
  );
}

/** Joins `//` comments of consecutive lines: they are one text. */
function joinLines(source: string, ranges: readonly ts.CommentRange[]): ts.TextRange[] {
  const out: { pos: number; end: number; kind: ts.CommentKind }[] = [];
  for (const { pos, end, kind } of ranges) {
    const last = out.at(-1),
      isLine = kind === ts.SyntaxKind.SingleLineCommentTrivia;
    if (last && isLine && last.kind === kind && /^\r?\n[ \t]*$/.test(source.slice(last.end, pos)))
      last.end = end;
    else out.push({ pos, end, kind });
  }
  return out;
}

/** Comments, and strings that read as prose, of one TypeScript file. Template parts are joined with "…". */
export function textsOfSource(file: string, source: string): Text[] {
  const out: Text[] = [];
  const tree = ts.createSourceFile(
    file,
    source,
    ts.ScriptTarget.Latest,
    false,
    file.endsWith("x") ? ts.ScriptKind.TSX : ts.ScriptKind.TS,
  );
  const lineAt = (offset: number): number => tree.getLineAndCharacterOfPosition(offset).line + 1;
  const seen = new Set<number>(),
    offsets = new Set<number>();
  const comments = (offset: number): void => {
    if (offsets.has(offset)) return; // nested nodes share their starts and ends
    offsets.add(offset);
    for (const range of [
      ...joinLines(source, ts.getLeadingCommentRanges(source, offset) ?? []),
      ...joinLines(source, ts.getTrailingCommentRanges(source, offset) ?? []),
    ]) {
      if (seen.has(range.pos)) continue;
      seen.add(range.pos);
      const text = source
        .slice(range.pos, range.end)
        .replace(/^\/\*\*?|\*\/$/g, "")
        .replace(/^\s*(\*|\/\/+) ?/gm, "")
        .trim();
      if (!/^(biome|eslint|@ts)-/.test(text))
        out.push({ file, line: lineAt(range.pos), kind: "comment", text });
    }
  };
  const string = (offset: number, text: string): void => {
    if (isProse(text)) out.push({ file, line: lineAt(offset), kind: "string", text });
  };
  const visit = (node: ts.Node): void => {
    comments(node.getFullStart());
    comments(node.getEnd());
    if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node))
      string(node.getStart(tree), node.text);
    else if (ts.isTemplateExpression(node))
      string(
        node.getStart(tree),
        [node.head.text, ...node.templateSpans.map((s) => s.literal.text)].join("…"),
      );
    else if (ts.isJsxText(node)) string(node.getStart(tree), node.text);
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return out;
}

/** Paragraphs, list items and table rows of one Markdown file, without code blocks and inline code. */
export function textsOfMarkdown(file: string, source: string): Text[] {
  let fenced = false;
  return source.split("\n").flatMap((raw, i): Text[] => {
    if (/^\s*(```|~~~)/.test(raw)) {
      fenced = !fenced;
      return [];
    }
    if (fenced || /^ {4,}\S/.test(raw) || raw.trim() === "") return [];
    const text = raw.replace(/`[^`]*`/g, "`code`").replace(/\]\([^)]*\)/g, "]");
    return [{ file, line: i + 1, kind: "markdown", text }];
  });
}

export function textsIn(root: string, files: readonly string[]): Text[] {
  return files.flatMap((f) => {
    const source = readFileSync(join(root, f), "utf8");
    return f.endsWith(".md") ? textsOfMarkdown(f, source) : textsOfSource(f, source);
  });
}
