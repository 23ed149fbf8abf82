// Checks the words of docs/contributing/writing.md: banned idioms in comments, strings, test titles and
// Markdown. The baseline counts the remaining findings of older files; the counts may only decrease.
//   node tools/checks/words.ts            compare with the baseline
//   node tools/checks/words.ts --list     print every finding
//   node tools/checks/words.ts --update   write a smaller baseline
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { repositoryFiles, type Text, textsIn } from "./texts.ts";

/** One banned pattern, and the recommended wording. */
export interface WordRule {
  pattern: RegExp;
  instead: string;
}

const rule = (pattern: RegExp, instead: string): WordRule => ({ pattern, instead });

/** Ordered by frequency in the first measurement. Patterns match whole words, in any case. */
export const WORD_RULES: readonly WordRule[] = [
  rule(/\banew\b/i, "again, or the verb with re- (recreated, rewritten)"),
  rule(/\bbut for\b/i, "except"),
  rule(
    /\bbeside (it|them|the|an?|one another|each other|what|that|those|others)\b/i,
    "next to, or in addition to",
  ),
  rule(/\b(is|are|was|were|be|been|being) told\b/i, "receives, knows, or reports"),
  rule(/\b(one|ones|those) (that|which|who)\b/i, "the noun"),
  rule(/\b(stands?|stood|standing) still\b/i, "stalled or paused"),
  rule(/\b(fell|falls?|fallen|falling) silent\b/i, "stopped responding"),
  rule(/\bin hand\b/i, "in flight or pending"),
  rule(/\bas it is\b/i, "unchanged"),
  rule(/\bso long (as|ago)\b/i, "while, or the duration"),
  rule(/\bsuch that\b/i, "so that, or a rewrite"),
  rule(
    /(^|[.:;]\s+|\/\/\s*)(What|Who|Whose|Which|Of what|Of which)\b(?![^.]*\?)/,
    "the subject as a noun phrase",
  ),
  rule(/\bwhat (is|was|it|they|has|had|lies|comes|came|goes|others?|another)\b/i, "the noun"),
  rule(
    /\b(nobody|somebody|everybody|whoever|who) (has|have|had|is|was|knows?|can|may|did|does|asked|asks|reads?)\b/i,
    "the actor by name",
  ),
  rule(/\bof (which|whom|whose)\b/i, "whose, or two sentences"),
  rule(/\b(none|nothing) of (it|them|that|which)\b/i, "no, with the noun"),
  rule(/\bhow manieth\b/i, "the index of"),
  rule(
    /\b(looked after|hardly any|at the most|at the least|for whole|once more|on its own)\b/i,
    "the plain word: managed, few, at most, at least, complete, again, alone",
  ),
  rule(
    /\b(goes?|went|gone|comes?|came) (elsewhere|back whole|along)\b/i,
    "moved to another …, or the field's verb",
  ),
  rule(/\bthe how\b|\bthe why\b/i, "how, why"),
  rule(/\bhas as its\b|\bis none\b|\bare none\b/i, "is not a"),
  rule(/\b(therein|thereof|hereby|whereof|therefrom|wherein|whilst|amongst)\b/i, "the plain preposition"),
  rule(
    /\b(colour|behaviour|licence|neighbour|favour|catalogue|cancelled|normalis|recognis|optimis|serialis|initialis|organis|analys(e|ing)\b)/i,
    "American spelling",
  ),
];

/** Every match of a rule in a text. */
export function findings(texts: readonly Text[]): { text: Text; rule: WordRule; match: string }[] {
  return texts.flatMap((text) =>
    WORD_RULES.flatMap((r) => {
      const m = r.pattern.exec(text.text);
      return m ? [{ text, rule: r, match: m[0].trim() }] : [];
    }),
  );
}

export type Baseline = Record<string, number>;

/** Files with more findings than the baseline allows. */
export function grown(counts: Baseline, baseline: Baseline): string[] {
  return Object.keys(counts)
    .filter((f) => counts[f]! > (baseline[f] ?? 0))
    .sort();
}

export function countByFile(found: readonly { text: Text }[]): Baseline {
  const counts = new Map<string, number>();
  for (const { text } of found) counts.set(text.file, (counts.get(text.file) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Sources and documents with our own prose, without generated code, golden data and the rules themselves. */
const CHECKED =
  /^(?!libs\/api\/src\/gen\/|libs\/profile-kernel\/src\/gen\/|tools\/checks\/words|docs\/contributing\/writing\.md|docs\/glossary\.md|docs\/long-tests\.md).*\.(ts|tsx|md)$/;

function main(args: readonly string[]): number {
  const root = dirname(dirname(dirname(fileURLToPath(import.meta.url)))),
    baselinePath = join(root, "tools/checks/words-baseline.json");
  const found = findings(textsIn(root, repositoryFiles(root, CHECKED))),
    counts = countByFile(found);
  const baseline = JSON.parse(readFileSync(baselinePath, "utf8")) as Baseline;
  const show = (files: ReadonlySet<string>): void => {
    for (const { text, rule: r, match } of found)
      if (files.has(text.file))
        process.stdout.write(`${text.file}:${text.line} ${JSON.stringify(match)}: write ${r.instead}\n`);
  };
  if (args.includes("--list")) {
    show(new Set(Object.keys(counts)));
    process.stdout.write(`${found.length} findings in ${Object.keys(counts).length} files\n`);
    return 0;
  }
  const more = grown(counts, baseline);
  if (args.includes("--update")) {
    if (more.length > 0 && !args.includes("--grow")) {
      process.stderr.write(`the baseline may only shrink; mend these first: ${more.join(", ")}\n`);
      return 1;
    }
    writeFileSync(baselinePath, `${JSON.stringify(counts, undefined, 2)}\n`);
    return 0;
  }
  if (more.length > 0) {
    show(new Set(more));
    process.stderr.write(
      `words: ${more.length} files have more banned words than before; see docs/contributing/writing.md\n`,
    );
    return 1;
  }
  const smaller = Object.keys(baseline).filter((f) => (counts[f] ?? 0) < baseline[f]!).length;
  process.stdout.write(
    `words: ${found.length} known findings${smaller > 0 ? `; ${smaller} files improved: run node tools/checks/words.ts --update` : ""}\n`,
  );
  return 0;
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2));
