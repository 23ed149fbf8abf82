import { RE2JS } from "re2js";
import { invalidError } from "@cinderblock/errors";

/** Limits of all selectors and filters of one query together. */
export interface PatternLimits {
  /** characters of selectors and filters */
  characters: number;
  /** conditions on labels */
  matchers: number;
  /** total instructions of all compiled regular expressions */
  instructions: number;
}

/**
 * Limits without a known tenant: for configured and stored selectors, and for queries that a frontend has
 * checked.
 */
const PATTERN_CEILING: PatternLimits = { characters: 1 << 20, matchers: 10_000, instructions: 50_000 };

/**
 * Factor between the estimate from a text and its program: common prefixes of alternatives are compiled once.
 */
const ESTIMATE_SLACK = 4;

/**
 * Counts the use of a query's limits by its selectors and filters. Matching a character costs time
 * proportional to the program size, so the size is bounded before compilation (docs/correctness.md, "Every
 * input has a budget").
 */
export class PatternBudget {
  private characters = 0;
  private matchers = 0;
  private instructions = 0;
  private readonly limits: PatternLimits;

  constructor(limits: PatternLimits = PATTERN_CEILING) {
    this.limits = limits;
  }

  /** Counts the text of a selector or a filter. @throws `invalid` */
  countText(text: string): void {
    const { characters } = this.limits;
    this.characters += text.length;
    if (this.characters > characters)
      throw invalidError(
        `the selectors and filters of the query have ${this.characters} characters; the limit is ${characters} (-querier.max-selector-length)`,
      );
  }

  /** Counts one condition. @throws `invalid` */
  countMatcher(): void {
    const { matchers } = this.limits;
    if (++this.matchers > matchers)
      throw invalidError(
        `the selectors of the query have more than ${matchers} matchers, the limit (-querier.max-matchers)`,
      );
  }

  /**
   * Compiles a regular expression.
   * @throws `invalid` if it is too large, RE2's own error if it is malformed
   */
  compile(text: string, flags = 0): RE2JS {
    this.checkSize(regexInstructionBound(text), ESTIMATE_SLACK);
    const re = RE2JS.compile(text, flags);
    const size = re.programSize();
    this.checkSize(size, 1);
    this.instructions += size;
    return re;
  }

  private checkSize(size: number, slack: number): void {
    const { instructions } = this.limits,
      all = this.instructions + size;
    if (all > instructions * slack)
      throw invalidError(
        `the regular expressions of the query compile to ${slack > 1 ? "up to " : ""}${all} instructions; the limit is ${instructions} (-querier.max-regex-instructions)`,
      );
  }
}

/** A predicate on complete texts. */
export type TextPredicate = (text: string) => boolean;

/**
 * Predicate of a fully anchored regular expression without a program: a list of plain alternatives, as
 * dashboards write it for the values of a variable, or plain texts with `.*` and `.+` between them. Undefined for
 * other expressions.
 */
export function plainPredicate(text: string): TextPredicate | undefined {
  const literals = literalAlternatives(text);
  if (literals) {
    const set = new Set(literals);
    return (value) => set.has(value);
  }
  return wildcardPredicate(text);
}

/** Predicate of a fully anchored regular expression. A plain one costs no instructions. */
export function anchoredPredicate(text: string, budget: PatternBudget): TextPredicate {
  const plain = plainPredicate(text);
  if (plain) return plain;
  const re = anchoredPattern(text, budget);
  return (value) => re.matcher(value).find();
}

/** A fully anchored regular expression with its groups, for relabeling rules. */
export function anchoredPattern(text: string, budget: PatternBudget): RE2JS {
  // The wrapping must not make a text such as "a)(b" valid, and an error must show the text without the
  // wrapping.
  if (!isBalanced(text)) RE2JS.compile(text);
  try {
    return budget.compile(`^(?s:${text})$`);
  } catch (err) {
    if (err instanceof Error && err.name.startsWith("RE2JS")) RE2JS.compile(text);
    throw err;
  }
}

const META = new Set([..."\\.+*?()[]{}^$|"]);

/**
 * Alternatives of a regular expression without other constructs, such as `(a|b\.c|d)`; undefined for other
 * expressions.
 */
export function literalAlternatives(text: string): string[] | undefined {
  let from = 0,
    end = text.length;
  if (text.startsWith("(") && text.endsWith(")")) {
    from = text.startsWith("(?:") ? 3 : 1;
    end--;
  }
  const out: string[] = [];
  let one = "";
  for (let i = from; i < end; i++) {
    const c = text[i]!;
    if (c === "|") {
      out.push(one);
      one = "";
    } else if (c === "\\") {
      const escaped = escapedLiteral(text, ++i);
      if (i >= end || escaped === undefined) return undefined;
      one += escaped;
    } else if (META.has(c)) return undefined;
    else one += c;
  }
  out.push(one);
  return out;
}

/** Character after a backslash that stands for itself: a letter or digit is a class or another construct. */
function escapedLiteral(text: string, at: number): string | undefined {
  const c = text[at];
  return c === undefined || /[A-Za-z0-9]/.test(c) || c > "\u007e" ? undefined : c;
}

/** Plain texts between `.*` and `.+`: each wildcard takes at least so many characters. */
interface Wildcards {
  /** one more than `least` */
  texts: string[];
  least: number[];
}

/** Parts of a regular expression of plain text, `.*` and `.+` only; undefined for other expressions. */
function wildcardsOf(text: string): Wildcards | undefined {
  const out: Wildcards = { texts: [], least: [] };
  let one = "";
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === ".") {
      const times = text[++i];
      // `.*?` matches the same texts, but is rare; the end of `.*+` and `.**` is an error.
      if ((times !== "*" && times !== "+") || "*+?{".includes(text[i + 1] ?? " ")) return undefined;
      out.texts.push(one);
      out.least.push(times === "+" ? 1 : 0);
      one = "";
    } else if (c === "\\") {
      const escaped = escapedLiteral(text, ++i);
      if (escaped === undefined) return undefined;
      one += escaped;
    } else if (META.has(c)) return undefined;
    else one += c;
  }
  out.texts.push(one);
  // Two wildcards in a row would have to count characters of two code units.
  return out.least.length > 0 && !out.texts.slice(1, -1).includes("") ? out : undefined;
}

/** Predicate of plain texts with wildcards between them; undefined for other expressions. */
function wildcardPredicate(text: string): TextPredicate | undefined {
  const parts = wildcardsOf(text);
  if (!parts) return undefined;
  const { texts, least } = parts,
    first = texts[0]!,
    last = texts.length - 1,
    end = texts[last]!;
  return (value) => {
    if (!value.startsWith(first) || !value.endsWith(end)) return false;
    let at = first.length;
    // The earliest match of each text leaves the most for the others.
    for (let i = 1; i < last; i++) {
      at = value.indexOf(texts[i]!, at + least[i - 1]!);
      if (at < 0) return false;
      at += texts[i]!.length;
    }
    return at + least[last - 1]! <= value.length - end.length;
  };
}

/** Whether the parentheses of a text are balanced. Skips escapes and classes. */
function isBalanced(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === "\\") i = text.startsWith("\\Q", i) ? endOfQuote(text, i) : i + 1;
    else if (c === "[") i = endOfClass(text, i);
    else if (c === "(") depth++;
    else if (c === ")" && --depth < 0) return false;
  }
  return depth === 0;
}

/** Position of the last character of the `\Q…\E` that begins at `at`. */
function endOfQuote(text: string, at: number): number {
  const end = text.indexOf("\\E", at + 2);
  return end < 0 ? text.length : end + 1;
}

/** Position of the closing bracket of the class that begins at `at`. */
function endOfClass(text: string, at: number): number {
  let i = at + 1;
  if (text[i] === "^") i++;
  if (text[i] === "]") i++;
  for (; i < text.length && text[i] !== "]"; i++) {
    if (text[i] === "\\") i++;
    else if (text.startsWith("[:", i)) {
      const end = text.indexOf(":]", i + 2);
      if (end >= 0) i = end + 1;
    }
  }
  return i;
}

/** Upper bound of a regular expression's instructions, from its text alone: counted repetition multiplies. */
export function regexInstructionBound(text: string): number {
  // For each open group: instructions of its alternatives so far, and of its last atom.
  const groups: { sum: number; last: number }[] = [{ sum: 2, last: 0 }];
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!,
      g = groups.at(-1)!;
    const atom = (size: number): void => {
      g.sum += size;
      g.last = size;
    };
    const times = (factor: number, more: number): void => {
      g.sum += g.last * (factor - 1) + more;
      g.last = g.last * factor + more;
    };
    if (c === "(") {
      groups.push({ sum: 2, last: 0 });
      // Flags and names of groups take no instructions.
      if (text[i + 1] === "?") i = Math.max(i + 1, text.slice(i, i + 200).search(/[:>)]/) + i - 1);
    } else if (c === ")") {
      if (groups.length === 1) continue;
      groups.pop();
      const outer = groups.at(-1)!;
      outer.sum += g.sum;
      outer.last = g.sum;
    } else if (c === "|") {
      g.sum += 1;
      g.last = 0;
    } else if (c === "*" || c === "+" || c === "?") times(1, 1);
    else if (c === "{") {
      const m = /^\{(\d{1,9})(,(\d{0,9}))?\}/.exec(text.slice(i, i + 24));
      if (!m) {
        atom(1);
        continue;
      }
      const least = Number(m[1]),
        most = m[2] === undefined ? least : m[3] === "" ? least + 1 : Number(m[3]);
      times(Math.max(1, most), most);
      i += m[0].length - 1;
    } else if (c === "[") {
      atom(1);
      i = endOfClass(text, i);
    } else if (c === "\\") {
      if (text[i + 1] === "Q") {
        const end = endOfQuote(text, i);
        atom(1);
        g.sum += Math.max(0, end - i - 4);
        i = end;
        continue;
      }
      atom(1);
      i++;
      const brace = /^[pPx]\{[^}]{0,40}\}/.exec(text.slice(i, i + 44));
      if (brace) i += brace[0].length - 1;
    } else atom(1);
  }
  // RE2 refuses unclosed groups.
  return groups.reduce((n, g) => n + g.sum, 0);
}
