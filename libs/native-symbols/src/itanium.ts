import { BUILTIN, BUILTIN_D, LONG_STD, OPERATORS, STD } from "./itanium-codes.ts";

/**
 * C++ names from mangled symbols, without parameters: `_ZNSt6vectorIiSaIiEE9push_backERKi` is
 * `std::vector<int, std::allocator<int> >::push_back`. Grammar: Itanium C++ ABI, chapter 5.1. Supports names
 * and simple types, but not expressions and decltype.
 * @returns undefined for other symbols and for constructs that are not supported
 */
export function itaniumName(symbol: string): string | undefined {
  const m = /^_{1,2}Z/.exec(symbol);
  if (!m) return undefined;
  try {
    const text = new Reader(symbol, m[0].length).encoding();
    return text.includes(UNKNOWN) ? undefined : text;
  } catch (err) {
    if (err === BEYOND) return undefined;
    throw err;
  }
}

/** Thrown for unsupported constructs, and for other symbols. */
const BEYOND = new Error("not a supported mangled C++ name");
/** placeholder of a template parameter: a name with one is not returned */
const UNKNOWN = "\u0000";
const MAX_DEPTH = 96,
  MAX_TEXT = 16_384;

/**
 * Reader by recursive descent: each method reads one production of the grammar at `at`. Names and types that
 * may recur are appended to `substitutions` in the order of the grammar, and `S_`, `S0_`, … refer to them.
 */
class Reader {
  private readonly s: string;
  private at: number;
  private readonly substitutions: string[] = [];
  private depth = 0;
  constructor(symbol: string, at: number) {
    this.s = symbol;
    this.at = at;
  }

  private peek(text: string): boolean {
    return this.s.startsWith(text, this.at);
  }
  private take(text: string): boolean {
    if (!this.peek(text)) return false;
    this.at += text.length;
    return true;
  }
  /** Adds a candidate for later substitutions. */
  private remember(text: string): string {
    if (text.length > MAX_TEXT) throw BEYOND;
    this.substitutions.push(text);
    return text;
  }
  private nested<T>(work: () => T): T {
    if (++this.depth > MAX_DEPTH) throw BEYOND;
    const out = work();
    this.depth--;
    return out;
  }

  /** A function or an object; ignores the rest after the name. */
  encoding(): string {
    if (this.take("GV")) return `guard variable for ${this.name()}`;
    if (!this.peek("T") || /^T(_|\d)/.test(this.s.slice(this.at, this.at + 2))) return this.name();
    for (const [code, what] of [
      ["TV", "vtable for "],
      ["TT", "VTT for "],
      ["TI", "typeinfo for "],
      ["TS", "typeinfo name for "],
    ] as const)
      if (this.take(code)) return what + this.type();
    const offset = (): void => {
      if (this.take("h")) {
        this.number();
        this.end("_");
      } else {
        this.end("v");
        this.number();
        this.end("_");
        this.number();
        this.end("_");
      }
    };
    this.end("T");
    if (this.take("c")) {
      offset();
      offset();
      return `covariant return thunk to ${this.encoding()}`;
    }
    const virtual = this.peek("v");
    offset();
    return `${virtual ? "virtual" : "non-virtual"} thunk to ${this.encoding()}`;
  }

  /** Reads a text that the grammar requires. */
  private end(text: string): void {
    if (!this.take(text)) throw BEYOND;
  }
  /** `<number>`: decimal, `n` for minus. */
  private number(): number {
    const m = /^n?\d+/.exec(this.s.slice(this.at, this.at + 24));
    if (!m) throw BEYOND;
    this.at += m[0].length;
    return Number(m[0].replace("n", "-"));
  }

  private name(): string {
    return this.nested(() => this.nameHere());
  }
  /** `<name>`: N nested, Z local, S substituted, or unscoped, each perhaps with template arguments. */
  private nameHere(): string {
    if (this.take("N")) return this.nestedName();
    if (this.take("Z")) return this.localName();
    if (this.peek("S") && !this.peek("St")) {
      const base = this.substitution();
      if (!this.peek("I")) throw BEYOND;
      return this.withArguments(base);
    }
    const text = (this.take("St") ? "std::" : "") + this.unqualified("");
    if (!this.peek("I")) return text;
    this.remember(text);
    return this.withArguments(text);
  }

  /**
   * `<nested-name>` after its N, up to E. Every prefix is a candidate for substitutions, the complete name is
   * not.
   */
  private nestedName(): string {
    while (/^[rVK]/.test(this.s.slice(this.at, this.at + 1))) this.at++;
    if (this.peek("R") || this.peek("O")) this.at++;
    let out = "",
      begun = false;
    const add = (part: string): void => {
      out = begun ? `${out}::${part}` : part;
      begun = true;
    };
    for (;;) {
      if (this.take("E")) {
        if (!begun || this.substitutions.length === 0) throw BEYOND;
        this.substitutions.pop();
        return out;
      }
      if (this.take("St")) {
        add("std");
        continue;
      }
      if (this.peek("S")) {
        const known = this.substitution();
        add(LONG_STD.get(known) ?? known);
        continue;
      }
      if (this.peek("T")) {
        this.templateParameter();
        add(UNKNOWN);
      } else if (this.peek("I")) {
        if (!begun) throw BEYOND;
        out = this.withArguments(out);
      } else add(this.unqualified(out));
      this.remember(out);
    }
  }

  /** `<local-name>` after its Z: the function, E, then the entity in it. */
  private localName(): string {
    const outer = this.encoding();
    // Skip the function's parameters up to its end.
    while (!this.take("E")) {
      if (this.at >= this.s.length) throw BEYOND;
      this.type();
    }
    if (this.take("s")) {
      this.discriminator();
      return `${outer}::string literal`;
    }
    if (this.take("d")) {
      if (!this.peek("_")) this.number();
      this.end("_");
    }
    const inner = this.name();
    this.discriminator();
    return `${outer}::${inner}`;
  }

  private discriminator(): void {
    const m = /^(__\d+_|_\d)/.exec(this.s.slice(this.at, this.at + 16));
    if (m) this.at += m[0].length;
  }

  /** @param of owner of a constructor or destructor */
  /**
   * `<unqualified-name>`: a source name, a constructor or destructor, an unnamed type, a lambda or an
   * operator.
   * @param of owner of a constructor or destructor
   */
  private unqualified(of: string): string {
    this.take("L");
    const rest = this.s.slice(this.at, this.at + 3);
    let out: string;
    if (/^\d/.test(rest)) out = this.source();
    else if (/^C(I?)[1-5]/.test(rest)) {
      this.at += rest[1] === "I" ? 3 : 2;
      if (rest[1] === "I") this.type();
      out = lastPart(of);
    } else if (/^D[0-5]/.test(rest)) {
      this.at += 2;
      out = `~${lastPart(of)}`;
    } else if (this.take("Ut")) out = `{unnamed type#${this.sequence()}}`;
    else if (this.take("Ul")) {
      const parameters: string[] = [];
      while (!this.take("E")) {
        if (this.at >= this.s.length) throw BEYOND;
        parameters.push(this.type());
      }
      // The parameter types of a generic lambda are placeholders.
      out = `{lambda(${parameters.join() === "void" ? "" : parameters.map((p) => p.replaceAll(UNKNOWN, "auto")).join(", ")})#${this.sequence()}}`;
    } else out = this.operator();
    while (this.take("B")) out += `[abi:${this.source()}]`;
    return out;
  }

  /** The number in `<n>_`; a missing number means the first. */
  private sequence(): number {
    const n = this.peek("_") ? -1 : this.number();
    this.end("_");
    return n + 2;
  }

  private operator(): string {
    const code = this.s.slice(this.at, this.at + 2),
      symbol = OPERATORS[code];
    this.at += 2;
    if (code === "cv") return `operator ${this.type()}`;
    if (code === "li") return `operator"" ${this.source()}`;
    if (symbol === undefined) throw BEYOND;
    return `operator${symbol}`;
  }

  /** `<source-name>`: its length and its characters. */
  private source(): string {
    const n = this.number();
    if (n <= 0 || this.at + n > this.s.length) throw BEYOND;
    const out = this.s.slice(this.at, this.at + n);
    this.at += n;
    return out.startsWith("_GLOBAL__N") ? "(anonymous namespace)" : out;
  }

  private templateParameter(): void {
    const m = /^T(?:L\d+_)?\d*_/.exec(this.s.slice(this.at, this.at + 16));
    if (!m) throw BEYOND;
    this.at += m[0].length;
  }

  /** `<substitution>`: `S_` is the first candidate, `S0_` the second; numbers are in base 36. */
  private substitution(): string {
    this.end("S");
    const std = STD[this.s[this.at] ?? ""];
    if (std !== undefined) {
      this.at++;
      let out = std;
      while (this.take("B")) out = this.remember(`${out}[abi:${this.source()}]`);
      return out;
    }
    const m = /^([0-9A-Z]*)_/.exec(this.s.slice(this.at, this.at + 12));
    if (!m) throw BEYOND;
    this.at += m[0].length;
    const found = this.substitutions[m[1] === "" ? 0 : parseInt(m[1]!, 36) + 1];
    if (found === undefined) throw BEYOND;
    return found;
  }

  private withArguments(name: string): string {
    return `${name}${name.endsWith("<") ? " " : ""}${this.templateArguments()}`;
  }

  private templateArguments(): string {
    return this.nested(() => {
      this.end("I");
      const list: string[] = [];
      while (!this.take("E")) {
        if (this.at >= this.s.length) throw BEYOND;
        list.push(...this.templateArgument());
      }
      const text = list.join(", ");
      if (text.length > MAX_TEXT) throw BEYOND;
      return `<${text}${text.endsWith(">") ? " " : ""}>`;
    });
  }

  /** `<template-arg>`: J pack, L literal, X expression (not supported), otherwise a type. */
  private templateArgument(): string[] {
    if (this.take("J")) {
      const out: string[] = [];
      while (!this.take("E")) {
        if (this.at >= this.s.length) throw BEYOND;
        out.push(...this.templateArgument());
      }
      return out;
    }
    if (this.take("L")) return [this.literal()];
    if (this.peek("X")) throw BEYOND;
    return [this.type()];
  }

  /** `<expr-primary>` after its L: `_Z` and a function, or a type and a number. */
  private literal(): string {
    if (this.take("_Z")) {
      const out = this.encoding();
      while (!this.take("E")) {
        if (this.at >= this.s.length) throw BEYOND;
        this.type();
      }
      return `&${out}`;
    }
    const type = this.type(),
      m = /^n?[0-9a-f]*/.exec(this.s.slice(this.at, this.at + 40))!;
    this.at += m[0].length;
    this.end("E");
    const value = m[0].replace(/^n/, "-");
    switch (type) {
      case "bool":
        return value === "0" ? "false" : "true";
      case "int":
        return value;
      case "unsigned int":
        return `${value}u`;
      case "long":
        return `${value}l`;
      case "unsigned long":
        return `${value}ul`;
      case "long long":
        return `${value}ll`;
      case "unsigned long long":
        return `${value}ull`;
      default:
        return `(${type})${value}`;
    }
  }

  private type(): string {
    return this.nested(() => this.typeHere());
  }
  /**
   * `<type>` by its first letter: r V K qualifiers, P R O pointers and references, F function, D pack
   * expansion, T template parameter, S substitution, u vendor's type; others are names.
   */
  private typeHere(): string {
    const c = this.s[this.at] ?? "",
      two = this.s.slice(this.at, this.at + 2);
    if (BUILTIN[c] !== undefined) {
      this.at++;
      return BUILTIN[c];
    }
    if (BUILTIN_D[two] !== undefined) {
      this.at += 2;
      return BUILTIN_D[two];
    }
    switch (c) {
      case "r":
      case "V":
      case "K": {
        const words: string[] = [];
        for (let q = this.s[this.at]; q === "r" || q === "V" || q === "K"; q = this.s[this.at]) {
          this.at++;
          words.unshift(q === "r" ? "__restrict" : q === "V" ? "volatile" : "const");
        }
        return this.remember(`${this.type()} ${words.join(" ")}`);
      }
      case "P":
      case "R":
      case "O": {
        this.at++;
        const of = this.type(),
          sign = c === "P" ? "*" : c === "R" ? "&" : "&&";
        // Functions and arrays contain the sign; references to references collapse into one.
        return this.remember(
          of.includes("(") && /^[^<]* \(.*\)$/.test(of)
            ? of.replace(/ \(/, ` (${sign})(`)
            : /&&?$/.test(of) && sign.startsWith("&")
              ? of.endsWith("&&") && sign === "&&"
                ? of
                : `${of.replace(/&+$/, "")}&`
              : of + sign,
        );
      }
      case "F": {
        this.at++;
        this.take("Y");
        const result = this.type(),
          parameters: string[] = [];
        while (!this.take("E")) {
          if (this.at >= this.s.length) throw BEYOND;
          parameters.push(this.type());
        }
        return this.remember(`${result} (${parameters.join() === "void" ? "" : parameters.join(", ")})`);
      }
      case "D":
        if (this.take("Dp")) return this.remember(this.type());
        throw BEYOND;
      case "T":
        this.templateParameter();
        this.remember(UNKNOWN);
        if (this.peek("I")) return this.remember(this.withArguments(UNKNOWN));
        return UNKNOWN;
      case "S":
        if (two !== "St") {
          const of = this.substitution();
          return this.peek("I") ? this.remember(this.withArguments(of)) : of;
        }
        return this.remember(this.name());
      case "u":
        this.at++;
        return this.remember(this.source());
      case "A":
      case "M":
      case "C":
      case "G":
        throw BEYOND;
      default:
        return this.remember(this.name());
    }
  }
}

/** Name of a constructor: the last part of the class name, without its arguments. */
function lastPart(of: string): string {
  let depth = 0,
    end = of.length;
  for (let i = of.length - 1; i >= 0; i--) {
    if (of[i] === ">" && of[i - 1] !== "-") depth++;
    else if (of[i] === "<") {
      depth--;
      if (depth === 0) end = i;
    } else if (depth === 0 && of[i] === ":") return of.slice(i + 1, end).replace(/\[abi:.*$/, "");
  }
  return of.slice(0, end).replace(/\[abi:.*$/, "");
}
