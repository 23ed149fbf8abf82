/**
 * A name as a person wrote it: of Rust's legacy mangling the path without its hash. Others stay as they are; where DWARF is
 * there, names come from it and need none of this.
 */
export function readableName(symbol: string): string {
  const name = symbol.replace(/@@?[\w.]+$/, "");
  return rustLegacy(name) ?? name;
}

const ESCAPES: Record<string, string> = { SP: "@", BP: "*", RF: "&", LT: "<", GT: ">", LP: "(", RP: ")", C: "," };

/** `_ZN4core3fmt5write17h0123456789abcdefE` is `core::fmt::write`. */
function rustLegacy(symbol: string): string | undefined {
  if (!/^_?_ZN.*17h[0-9a-f]{16}E/.test(symbol)) return undefined;
  const parts: string[] = [];
  for (let at = symbol.indexOf("_ZN") + 3; symbol[at] !== "E";) {
    const digits = /^\d+/.exec(symbol.slice(at, at + 6));
    if (!digits) return undefined;
    const from = at + digits[0].length, size = Number(digits[0]);
    if (from + size > symbol.length) return undefined;
    parts.push(symbol.slice(from, from + size));
    at = from + size;
  }
  parts.pop();
  return parts.map((p) => p.replace(/^_\$/, "$").replace(/\$(\w+?)\$/g, (all, e: string) => ESCAPES[e] ?? (/^u[0-9a-f]+$/.test(e) ? String.fromCodePoint(Math.min(0x10ffff, parseInt(e.slice(1), 16))) : all)).replace(/\.\./g, "::")).join("::");
}
