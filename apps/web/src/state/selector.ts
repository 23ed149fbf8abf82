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

/** `service_name="a", pod!="b"`, with or without braces. @throws SelectorError with the position */
export function parseSelector(text: string): Matcher[] {
  let at = 0;
  const fail = (what: string): never => {
    throw new SelectorError(`${what} at character ${at + 1}`, at);
  };
  const blank = (): void => {
    while (at < text.length && /\s/.test(text[at]!)) at++;
  };
  const quoted = (): string => {
    const from = at;
    at++;
    while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    if (at >= text.length) {
      at = from;
      fail("this quote is not closed");
    }
    at++;
    try {
      return JSON.parse(text.slice(from, at)) as string;
    } catch {
      at = from;
      return fail("this is no valid quoted text");
    }
  };
  blank();
  const braced = text[at] === "{";
  if (braced) at++;
  const out: Matcher[] = [];
  for (blank(); at < text.length && text[at] !== "}"; blank()) {
    const start = at;
    const bare = /^[A-Za-z_][\w.]*/.exec(text.slice(at))?.[0];
    const name = text[at] === '"' ? quoted() : (bare ?? fail("a label name is expected"));
    if (bare !== undefined && at === start) at += bare.length;
    blank();
    const op = /^(=~|!~|!=|=)/.exec(text.slice(at))?.[1] as Operator | undefined;
    if (!op) fail("one of = != =~ !~ is expected");
    at += op!.length;
    blank();
    const valueAt = at;
    if (text[at] !== '"') fail("a quoted value is expected");
    const value = quoted();
    if (op === "=~" || op === "!~") {
      try {
        new RegExp(value);
      } catch {
        at = valueAt;
        fail("this is no valid regular expression");
      }
    }
    out.push({ name, op: op!, value });
    blank();
    if (text[at] === ",") at++;
    else if (at < text.length && text[at] !== "}") fail("a comma is expected");
  }
  if (braced) {
    if (text[at] !== "}") fail("the brace is not closed");
    at++;
    blank();
  }
  if (at < text.length) fail("nothing is expected");
  return out;
}

const shown = (name: string): string => (/^[A-Za-z_][\w.]*$/.test(name) ? name : JSON.stringify(name));
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
export function inverted(m: Matcher): Matcher {
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
