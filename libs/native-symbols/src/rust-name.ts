/**
 * Rust names from mangled symbols, without the crates' hashes: `_RNvMs_Cs1234_4shopNtB4_4Cart5total` is
 * `<shop::Cart>::total`. Grammar: Rust RFC 2603 (v0); symbols of the legacy scheme yield only their path.
 */
export function rustName(symbol: string): string | undefined {
  if (/^_?_ZN.*17h[0-9a-f]{16}E/.test(symbol)) return legacyName(symbol);
  const m = /^_{1,2}R(?=[A-Z])/.exec(symbol);
  if (!m) return undefined;
  try {
    return new Reader(symbol.slice(m[0].length).replace(/[.$].*$/, "")).path(true);
  } catch (err) {
    if (err === BEYOND) return undefined;
    throw err;
  }
}

/** Thrown for unsupported constructs, and for other symbols. */
const BEYOND = new Error("not a supported mangled Rust name");
const MAX_DEPTH = 200,
  MAX_TEXT = 16_384;

/** Punctuation in paths of the legacy scheme, as `$LT$`. */
const ESCAPES: ReadonlyMap<string, string> = new Map(
  Object.entries<string>({
    SP: "@",
    BP: "*",
    RF: "&",
    LT: "<",
    GT: ">",
    LP: "(",
    RP: ")",
    C: ",",
  }),
);

/**
 * `_ZN4core3fmt5write17h0123456789abcdefE` is `core::fmt::write`: parts with their length, the last one is
 * the hash.
 */
function legacyName(symbol: string): string | undefined {
  const parts: string[] = [];
  for (let at = symbol.indexOf("_ZN") + 3; symbol[at] !== "E"; ) {
    const digits = /^\d+/.exec(symbol.slice(at, at + 6));
    if (!digits) return undefined;
    const from = at + digits[0].length,
      size = Number(digits[0]);
    if (from + size > symbol.length) return undefined;
    parts.push(symbol.slice(from, from + size));
    at = from + size;
  }
  parts.pop();
  return parts
    .map((p) =>
      p
        .replace(/^_\$/, "$")
        .replace(
          /\$(\w+?)\$/g,
          (all, e: string) =>
            ESCAPES.get(e) ??
            (/^u[0-9a-f]+$/.test(e)
              ? String.fromCodePoint(Math.min(0x10ffff, parseInt(e.slice(1), 16)))
              : all),
        )
        .replace(/\.\./g, "::"),
    )
    .join("::");
}

/** Basic types of the v0 grammar, by their letter. */
const BASIC: Record<string, string> = {
  a: "i8",
  b: "bool",
  c: "char",
  d: "f64",
  e: "str",
  f: "f32",
  h: "u8",
  i: "isize",
  j: "usize",
  l: "i32",
  m: "u32",
  n: "i128",
  o: "u128",
  s: "i16",
  t: "u16",
  u: "()",
  v: "...",
  x: "i64",
  y: "u64",
  z: "!",
  p: "_",
};

class Reader {
  private readonly s: string;
  private at = 0;
  private depth = 0;
  private shown = 0;
  constructor(text: string) {
    this.s = text;
  }

  private take(c: string): boolean {
    if (this.s[this.at] !== c) return false;
    this.at++;
    return true;
  }
  private next(): string {
    const c = this.s[this.at++];
    if (c === undefined) throw BEYOND;
    return c;
  }
  /**
   * Bounds the total output, because references may repeat it: 16,384 characters for a part, eight times that
   * in total.
   */
  private told(text: string): string {
    this.shown += text.length;
    if (this.shown > MAX_TEXT * 8 || text.length > MAX_TEXT) throw BEYOND;
    return text;
  }
  private nested<T>(work: () => T): T {
    if (++this.depth > MAX_DEPTH) throw BEYOND;
    const out = work();
    this.depth--;
    return out;
  }

  /** A base-62 number, which ends with `_`: an empty one is 0, others are one more than their digits. */
  private base62(): number {
    const m = /^([0-9a-zA-Z]*)_/.exec(this.s.slice(this.at, this.at + 12));
    if (!m) throw BEYOND;
    this.at += m[0].length;
    let n = 0;
    for (const c of m[1]!)
      n = n * 62 + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".indexOf(c);
    return m[1] === "" ? 0 : n + 1;
  }
  /** `s` and a number that distinguishes paths of equal names; 0 without one. */
  private disambiguator(): number {
    return this.take("s") ? this.base62() + 1 : 0;
  }

  /**
   * A decimal length and as many bytes; `u` in front marks Punycode, `_` separates a name that begins with a
   * digit or `_`.
   */
  private identifier(): string {
    const puny = this.take("u"),
      m = /^(0|[1-9]\d{0,4})_?/.exec(this.s.slice(this.at, this.at + 8));
    if (!m) throw BEYOND;
    this.at += m[0].length;
    const n = Number(m[1]),
      out = this.s.slice(this.at, this.at + n);
    if (out.length !== n) throw BEYOND;
    this.at += n;
    return puny ? punycode(out) : out;
  }

  /** Resolves a back reference: reads it again at its original position. */
  private back<T>(read: () => T): T {
    const start = this.at - 1,
      to = this.base62(),
      after = this.at;
    if (to >= start) throw BEYOND;
    this.at = to;
    const out = read();
    this.at = after;
    return out;
  }

  /** @param value names of values have `::` before their arguments, types do not */
  path(value: boolean): string {
    return this.nested(() => this.told(this.pathHere(value)));
  }
  /**
   * Path by its first letter: C crate root, M inherent impl, X trait impl, Y trait definition, N nested name,
   * I generic arguments, B back reference.
   */
  private pathHere(value: boolean): string {
    const c = this.next();
    switch (c) {
      case "C":
        this.disambiguator();
        return this.identifier();
      case "M":
        this.disambiguator();
        this.path(false);
        return `<${this.type()}>`;
      case "X": {
        this.disambiguator();
        this.path(false);
        const type = this.type();
        return `<${type} as ${this.path(false)}>`;
      }
      case "Y": {
        const type = this.type();
        return `<${type} as ${this.path(false)}>`;
      }
      case "N": {
        const space = this.next(),
          outer = this.path(value),
          number = this.disambiguator(),
          name = this.identifier();
        if (!/[A-Z]/.test(space)) return name === "" ? outer : `${outer}::${name}`;
        return `${outer}::{${space === "C" ? "closure" : space === "S" ? "shim" : space}${name === "" ? "" : `:${name}`}#${number}}`;
      }
      case "I": {
        const outer = this.path(value),
          list: string[] = [];
        while (!this.take("E")) list.push(this.argument());
        return `${outer}${value ? "::" : ""}<${list.join(", ")}>`;
      }
      case "B":
        return this.back(() => this.path(value));
      default:
        throw BEYOND;
    }
  }

  private argument(): string {
    if (this.take("L")) {
      this.base62();
      return "'_";
    }
    return this.take("K") ? this.constant() : this.type();
  }

  private constant(): string {
    if (this.take("B")) return this.back(() => this.constant());
    if (this.take("p")) return "_";
    const type = this.next(),
      m = /^(n?)([0-9a-f]*)_/.exec(this.s.slice(this.at));
    if (!m || !/[a-z]/.test(type)) throw BEYOND;
    this.at += m[0].length;
    const n = BigInt(`0x${m[2] === "" ? "0" : m[2]!}`);
    if (type === "b") return n === 0n ? "false" : "true";
    if (type === "c") return `'${String.fromCodePoint(Math.min(0x10ffff, Number(n)))}'`;
    return `${m[1] === "n" ? "-" : ""}${n}`;
  }

  private type(): string {
    return this.nested(() => this.told(this.typeHere()));
  }
  /**
   * Type by its first letter: A array, S slice, T tuple, R and Q references, P and O pointers, F function, D
   * trait object, B back reference; others are paths.
   */
  private typeHere(): string {
    const c = this.next(),
      basic = BASIC[c];
    if (basic !== undefined) return basic;
    switch (c) {
      case "A": {
        const of = this.type();
        return `[${of}; ${this.constant()}]`;
      }
      case "S":
        return `[${this.type()}]`;
      case "T": {
        const list: string[] = [];
        while (!this.take("E")) list.push(this.type());
        return `(${list.join(", ")}${list.length === 1 ? "," : ""})`;
      }
      case "R":
      case "Q": {
        if (this.take("L")) this.base62();
        return `&${c === "Q" ? "mut " : ""}${this.type()}`;
      }
      case "P":
        return `*const ${this.type()}`;
      case "O":
        return `*mut ${this.type()}`;
      case "F":
        return this.fn();
      case "D":
        return this.dyn();
      case "B":
        return this.back(() => this.type());
      default:
        this.at--;
        return this.path(false);
    }
  }

  private binder(): void {
    if (this.take("G")) this.base62();
  }

  private fn(): string {
    this.binder();
    const unsafe = this.take("U") ? "unsafe " : "";
    let abi = "";
    if (this.take("K")) abi = `extern "${this.take("C") ? "C" : this.identifier().replaceAll("_", "-")}" `;
    const list: string[] = [];
    while (!this.take("E")) list.push(this.type());
    const result = this.type();
    return `${unsafe}${abi}fn(${list.join(", ")})${result === "()" ? "" : ` -> ${result}`}`;
  }

  private dyn(): string {
    this.binder();
    const traits: string[] = [];
    while (!this.take("E")) {
      let trait = this.path(false);
      const bound: string[] = [];
      while (this.take("p")) {
        const name = this.identifier();
        bound.push(`${name} = ${this.type()}`);
      }
      if (bound.length > 0)
        trait = trait.endsWith(">")
          ? `${trait.slice(0, -1)}, ${bound.join(", ")}>`
          : `${trait}<${bound.join(", ")}>`;
      traits.push(trait);
    }
    if (!this.take("L")) throw BEYOND;
    this.base62();
    return `dyn ${traits.join(" + ")}`;
  }
}

/** Punycode by RFC 3492, with `_` as the delimiter. */
function punycode(text: string): string {
  const cut = text.lastIndexOf("_"),
    out = [...(cut > 0 ? text.slice(0, cut) : "")],
    rest = text.slice(cut + 1);
  let n = 128,
    i = 0,
    bias = 72,
    at = 0;
  while (at < rest.length) {
    const old = i;
    for (let w = 1, k = 36; ; k += 36) {
      const c = rest[at++],
        digit =
          c === undefined
            ? -1
            : /[a-z]/.test(c)
              ? c.charCodeAt(0) - 97
              : /\d/.test(c)
                ? c.charCodeAt(0) - 22
                : -1,
        t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
      if (digit < 0 || i > 2 ** 40) throw BEYOND;
      i += digit * w;
      if (digit < t) break;
      w *= 36 - t;
    }
    const size = out.length + 1;
    let delta = Math.floor((i - old) / (old === 0 ? 700 : 2)),
      k = 0;
    for (delta += Math.floor(delta / size); delta > 455; k += 36) delta = Math.floor(delta / 35);
    bias = k + Math.floor((36 * delta) / (delta + 38));
    n += Math.floor(i / size);
    i %= size;
    if (n > 0x10ffff) throw BEYOND;
    out.splice(i++, 0, String.fromCodePoint(n));
  }
  return out.join("");
}
