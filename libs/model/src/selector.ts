import { RE2JS } from "re2js";
import { invalidError } from "@cinderblock/errors";
import { type Labels, LABEL_NAME } from "./labels.ts";
import {
  anchoredPattern,
  anchoredPredicate,
  PatternBudget,
  plainPredicate,
  type TextPredicate,
} from "./pattern.ts";

/** Operator of a matcher, as in PromQL. */
export type MatchOp = "=" | "!=" | "=~" | "!~";

/** A regular expression that matches a complete text, for relabeling rules. */
export type AnchoredPattern = RE2JS;

/** Compiles an anchored regular expression within the default limits. @throws `invalid` */
export function compileAnchored(text: string): AnchoredPattern {
  return anchoredPattern(text, new PatternBudget());
}

/**
 * Predicate of a text filter: contains a text, ignoring case, or matches a regular expression between
 * slashes.
 * @throws `invalid`
 */
export function textFilter(filter: string, budget = new PatternBudget()): TextPredicate {
  budget.countText(filter);
  const pattern = /^\/(.+)\/$/s.exec(filter)?.[1];
  if (pattern === undefined) {
    const wanted = filter.toLowerCase();
    return (text) => text.toLowerCase().includes(wanted);
  }
  let re: RE2JS;
  try {
    re = budget.compile(pattern, RE2JS.CASE_INSENSITIVE);
  } catch (err) {
    throw invalidError(`filter: ${(err as Error).message}`);
  }
  return (text) => re.matcher(text).find();
}

/** One label condition; regular expressions are RE2 and fully anchored. An absent label has the value "". */
export class Matcher {
  readonly name: string;
  readonly op: MatchOp;
  readonly value: string;
  private readonly test: TextPredicate | undefined;
  /** whether the regular expression is tested without a program, which costs less than a cached result */
  private readonly isPlain: boolean = false;
  /** cached results of a regular expression, because label values repeat */
  private readonly known = new Map<string, boolean>();

  constructor(name: string, op: MatchOp, value: string, position = "1:2", budget = new PatternBudget()) {
    this.name = name;
    this.op = op;
    this.value = value;
    budget.countMatcher();
    if (op === "=~" || op === "!~") {
      try {
        const plain = plainPredicate(value);
        this.isPlain = plain !== undefined;
        this.test = plain ?? anchoredPredicate(value, budget);
      } catch (err) {
        throw invalidError(`${position}: parse error: ${(err as Error).message}`);
      }
    }
  }

  /** Whether the condition is a regular expression. */
  get hasPattern(): boolean {
    return this.test !== undefined;
  }

  /** Whether `matches` has to run a regular expression for this value. */
  isCostly(value: string): boolean {
    return this.test !== undefined && !this.isPlain && !this.known.has(value);
  }

  matches(value: string): boolean {
    switch (this.op) {
      case "=":
        return value === this.value;
      case "!=":
        return value !== this.value;
      case "=~":
        return this.found(value);
      case "!~":
        return !this.found(value);
    }
  }

  private found(value: string): boolean {
    if (this.isPlain) return this.test!(value);
    let found = this.known.get(value);
    if (found === undefined) {
      found = this.test!(value);
      this.known.set(value, found);
    }
    return found;
  }

  /** Text that `parseSelector` reads as this condition. */
  toString(): string {
    const name = PLAIN_NAME.test(this.name) ? this.name : quote(this.name);
    return `${name}${this.op}${quote(this.value)}`;
  }
}

/** A label name that a selector holds without quotes. */
const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A quoted text of a selector: its escapes are those of `parseSelector`, also for lone surrogates. */
function quote(text: string): string {
  return JSON.stringify(text);
}

/** Every condition must hold; an empty list matches all. */
export type Selector = readonly Matcher[];

/** Whether labels meet every condition of a selector. */
export function selectorMatches(selector: Selector, labels: Labels): boolean {
  for (const m of selector) {
    let value = "";
    for (const l of labels)
      if (l.name === m.name) {
        value = l.value;
        break;
      }
    if (!m.matches(value)) return false;
  }
  return true;
}

/** Text of a selector, `{name="value","a quoted name"="value",…}`, for `parseSelector`. */
export function selectorText(selector: Selector): string {
  return `{${selector.map(String).join(",")}}`;
}

/** Names consist of letters, digits and `_`; a metric name may also contain `:`. */
const METRIC_START = /[A-Za-z_:]/;
const METRIC_PART = /[A-Za-z0-9_:]/;
const LABEL_START = /[A-Za-z_]/;
const LABEL_PART = /[A-Za-z0-9_]/;

/**
 * Parses a PromQL vector selector: `metric{a="x", b!="y", c=~"re", d!~"re", "quoted name"="z",}`. Range,
 * offset and `@` are not allowed. The metric name becomes an equality on `__name__`.
 * @throws `invalid`
 */
export function parseSelector(text: string, budget = new PatternBudget()): Selector {
  budget.countText(text);
  return new SelectorParser(text, budget).parse();
}

class SelectorParser {
  private readonly text: string;
  private readonly budget: PatternBudget;
  private pos = 0;
  constructor(text: string, budget: PatternBudget) {
    this.text = text;
    this.budget = budget;
  }

  parse(): Matcher[] {
    const matchers: Matcher[] = [];
    this.space();
    if (this.pos >= this.text.length)
      throw invalidError("unknown position: parse error: unexpected end of input");
    const start = this.pos;
    if (METRIC_START.test(this.peek())) {
      const name = this.word(METRIC_PART);
      matchers.push(this.named(name));
      this.space();
    }
    if (this.pos < this.text.length) {
      if (this.peek() !== "{") throw this.unexpected(this.pos === start ? start : this.pos);
      this.pos++;
      this.braces(matchers);
      this.space();
      if (this.pos < this.text.length) throw this.unexpected(this.pos);
    }
    return matchers;
  }

  private named(metric: string): Matcher {
    return new Matcher(LABEL_NAME, "=", metric, undefined, this.budget);
  }

  private braces(matchers: Matcher[]): void {
    for (;;) {
      this.space();
      this.inside();
      if (this.peek() === "}") {
        this.pos++;
        return;
      }
      const at = this.pos;
      let name: string;
      let quoted = false;
      if (this.isQuote()) {
        name = this.quoted();
        quoted = true;
      } else if (LABEL_START.test(this.peek())) name = this.word(LABEL_PART);
      else throw this.unexpected(this.pos, 'in label matching, expected identifier or "}"');
      this.space();
      this.inside();
      if (quoted && (this.peek() === "," || this.peek() === "}")) {
        matchers.push(this.named(name)); // {"metric name"}
      } else {
        const op = this.operator();
        this.space();
        this.inside();
        if (!this.isQuote()) throw this.unexpected(this.pos, "in label matching, expected string");
        matchers.push(new Matcher(name, op, this.quoted(), `1:${at + 1}`, this.budget));
      }
      this.space();
      this.inside();
      if (this.peek() === ",") this.pos++;
      else if (this.peek() !== "}") throw this.unexpected(this.pos, 'in label matching, expected "," or "}"');
    }
  }

  private operator(): MatchOp {
    const two = this.text.slice(this.pos, this.pos + 2);
    if (two === "!=" || two === "=~" || two === "!~") {
      this.pos += 2;
      return two;
    }
    if (this.peek() === "=") {
      this.pos++;
      return "=";
    }
    throw this.unexpected(this.pos, "in label matching, expected label matching operator");
  }

  private inside(): void {
    if (this.pos >= this.text.length)
      throw invalidError(`1:${this.pos + 1}: parse error: unexpected end of input inside braces`);
  }

  private isQuote(): boolean {
    const c = this.peek();
    return c === '"' || c === "'" || c === "`";
  }

  private quoted(): string {
    const quote = this.peek();
    const start = this.pos++;
    let raw = "";
    for (;;) {
      if (this.pos >= this.text.length)
        throw invalidError(`1:${start + 1}: parse error: unterminated quoted string`);
      const c = this.text[this.pos++]!;
      if (c === quote) return raw;
      if (quote === "`") {
        raw += c;
        continue;
      }
      if (c === "\n") throw invalidError(`1:${start + 1}: parse error: unterminated quoted string`);
      raw += c === "\\" ? this.escape() : c;
    }
  }

  private escape(): string {
    const c = this.text[this.pos++];
    const simple: Record<string, string> = {
      a: "\x07",
      b: "\b",
      f: "\f",
      n: "\n",
      r: "\r",
      t: "\t",
      v: "\v",
      "\\": "\\",
      '"': '"',
      "'": "'",
    };
    if (c !== undefined && c in simple) return simple[c]!;
    const digits = c === "x" ? 2 : c === "u" ? 4 : c === "U" ? 8 : 0;
    const hex = this.text.slice(this.pos, this.pos + digits);
    const code = digits > 0 && hex.length === digits && /^[0-9a-fA-F]+$/.test(hex) ? parseInt(hex, 16) : -1;
    if (code >= 0 && code <= 0x10ffff) {
      this.pos += digits;
      return String.fromCodePoint(code);
    }
    const octal = this.text.slice(this.pos - 1, this.pos + 2);
    if (/^[0-7]{3}$/.test(octal)) {
      this.pos += 2;
      return String.fromCharCode(parseInt(octal, 8));
    }
    throw invalidError(`1:${this.pos}: parse error: unknown escape sequence`);
  }

  private peek(): string {
    return this.text[this.pos] ?? "";
  }
  private word(part: RegExp): string {
    const start = this.pos;
    while (this.pos < this.text.length && part.test(this.text[this.pos]!)) this.pos++;
    return this.text.slice(start, this.pos);
  }
  private space(): void {
    while (/\s/.test(this.peek())) this.pos++;
  }
  private unexpected(at: number, where = ""): Error {
    return invalidError(
      `1:${at + 1}: parse error: unexpected ${JSON.stringify(this.text[at] ?? "")}${where === "" ? "" : ` ${where}`}`,
    );
  }
}
