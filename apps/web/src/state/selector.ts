export type Operator = "=" | "!=" | "=~" | "!~";
/** One condition on a label; shown as a chip. */
export interface Matcher {
  name: string;
  op: Operator;
  value: string;
}

/** Error of an invalid selector text, with its position. */
export class SelectorError extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

const isQuote = (c: string | undefined): boolean => c === '"' || c === "'" || c === "`";

/** A backslash and the character behind it, as in the server's selectors. */
const ESCAPE = /\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|[^])?/g;
const ESCAPED: ReadonlyMap<string, string> = new Map([
  ["a", "\x07"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
  ["v", "\v"],
  ["\\", "\\"],
  ['"', '"'],
  ["'", "'"],
]);

function unescaped(escape: string): string | undefined {
  const what = escape.slice(1);
  if (what.length < 2) return ESCAPED.get(what);
  const code = /^\d/.test(what) ? parseInt(what, 8) : parseInt(what.slice(1), 16);
  return code > 0x10ffff ? undefined : String.fromCodePoint(code);
}

/**
 * `service_name="a", pod!="b"`, with or without braces. Names with dots may go without quotes. Regular
 * expressions are RE2's, which only the server reads.
 * @throws SelectorError with the position
 */
export function parseSelector(text: string): Matcher[] {
  let at = 0;
  const fail = (what: string): never => {
    throw new SelectorError(`${what} at character ${at + 1}`, at);
  };
  const blank = (): void => {
    while (at < text.length && /\s/.test(text[at]!)) at++;
  };
  const quoted = (): string => {
    const from = at,
      quote = text[at++]!;
    while (at < text.length && text[at] !== quote) at += text[at] === "\\" && quote !== "`" ? 2 : 1;
    if (at >= text.length) {
      at = from;
      fail("Unterminated string");
    }
    const inner = text.slice(from + 1, at++);
    if (quote === "`") return inner;
    return inner.replace(ESCAPE, (escape: string, _what: string | undefined, offset: number) => {
      const c = unescaped(escape);
      if (c !== undefined) return c;
      at = from + 1 + offset;
      return fail("Invalid escape");
    });
  };
  blank();
  const braced = text[at] === "{";
  if (braced) at++;
  const out: Matcher[] = [];
  for (blank(); at < text.length && text[at] !== "}"; blank()) {
    const start = at;
    const bare = /^[A-Za-z_][\w.]*/.exec(text.slice(at))?.[0];
    const name = isQuote(text[at]) ? quoted() : (bare ?? fail("Expected a label name"));
    if (bare !== undefined && at === start) at += bare.length;
    blank();
    const op = /^(=~|!~|!=|=)/.exec(text.slice(at))?.[1] as Operator | undefined;
    if (!op) fail("Expected one of = != =~ !~");
    at += op!.length;
    blank();
    if (!isQuote(text[at])) fail("Expected a quoted value");
    const value = quoted();
    out.push({ name, op: op!, value });
    blank();
    if (text[at] === ",") at++;
    else if (at < text.length && text[at] !== "}") fail('Expected ","');
  }
  if (braced) {
    if (text[at] !== "}") fail('Expected "}"');
    at++;
    blank();
  }
  if (at < text.length) fail("Unexpected text");
  return out;
}

const shown = (name: string): string => (/^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name));
export function matcherText(m: Matcher): string {
  return `${shown(m.name)}${m.op}${JSON.stringify(m.value)}`;
}
/** Selector text without braces, for editing. */
export function selectorText(matchers: readonly Matcher[]): string {
  return matchers.map(matcherText).join(", ");
}
/** Selector text with braces, for requests. */
export function selectorOf(matchers: readonly Matcher[]): string {
  return `{${matchers.map(matcherText).join(",")}}`;
}

const INVERSE: Record<Operator, Operator> = { "=": "!=", "!=": "=", "=~": "!~", "!~": "=~" };
export function invertMatcher(m: Matcher): Matcher {
  return { ...m, op: INVERSE[m.op] };
}
/** The matchers with an additional one, which replaces an `=` matcher of the same label. */
export function withMatcher(matchers: readonly Matcher[], m: Matcher): Matcher[] {
  return [
    ...matchers.filter(
      (x) => !(x.name === m.name && (x.op === "=" || (x.op === m.op && x.value === m.value))),
    ),
    m,
  ];
}
