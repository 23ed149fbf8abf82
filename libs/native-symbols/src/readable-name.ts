import { itaniumName } from "./itanium.ts";
import { rustName } from "./rust-name.ts";

/** A name as a person wrote it, of what a linker calls it: C++'s and Rust's manglings are undone, others stay as they are. */
export function readableName(symbol: string): string {
  const name = symbol.replace(/@@?[\w.]+$/, ""),
    [, base, clone] = /^(_\S*?)((?:\.(?:cold|part|isra|constprop|llvm|lto_priv)[\w.]*)*)$/.exec(name) ?? [];
  if (base === undefined) return name;
  const readable = rustName(base) ?? itaniumName(base);
  return readable === undefined ? name : readable + (clone ?? "");
}
