import { itaniumName } from "./itanium.ts";
import { rustName } from "./rust-name.ts";

/**
 * Source-level name of a linker symbol: demangles C++ and Rust; other names stay unchanged. A symbol version
 * (`@@GLIBC_2.2`) is cut, a compiler's suffix of a clone (`.cold`, `.isra.0`) is kept.
 */
export function readableName(symbol: string): string {
  const name = symbol.replace(/@@?[\w.]+$/, ""),
    [, base, clone] = /^(_\S*?)((?:\.(?:cold|part|isra|constprop|llvm|lto_priv)[\w.]*)*)$/.exec(name) ?? [];
  if (base === undefined) return name;
  const readable = rustName(base) ?? itaniumName(base);
  return readable === undefined ? name : readable + (clone ?? "");
}
