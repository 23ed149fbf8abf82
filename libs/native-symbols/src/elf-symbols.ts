import { U32Column } from "@cinderblock/columnar";
import type { ElfFile } from "./elf.ts";
import type { FunctionSet } from "./functions.ts";
import { readableName } from "./readable-name.ts";

/** Types of symbols: functions, and GNU's functions whose address a resolver chooses at load time. */
const STT_FUNC = 2,
  STT_GNU_IFUNC = 10;

/**
 * Visits the entries of `.symtab`, or of `.dynsym` without it: type, section, value, size, and the start of
 * the name in `names`.
 *
 *   64 bits: name <4b> | type in 4 low bits <1b> | other <1b> | section <2b> | value <8b> | size <8b>
 *   32 bits: name <4b> | value <4b> | size <4b> | type in 4 low bits <1b> | other <1b> | section <2b>
 */
function eachSymbol(
  elf: ElfFile,
  visit: (
    names: Uint8Array,
    name: number,
    type: number,
    section: number,
    value: bigint,
    size: number,
  ) => void,
): void {
  const table = elf.findSection(".symtab") ?? elf.findSection(".dynsym"),
    strings = table && elf.sections[table.link];
  if (!table || !strings) return;
  const bytes = elf.bytesOfSection(table),
    names = elf.bytesOfSection(strings),
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    { is64 } = elf,
    entry = is64 ? 24 : 16;
  for (let p = 0; p + entry <= bytes.length; p += entry) {
    const name = view.getUint32(p, true);
    if (is64)
      visit(
        names,
        name,
        bytes[p + 4]! & 15,
        view.getUint16(p + 6, true),
        view.getBigUint64(p + 8, true),
        Number(view.getBigUint64(p + 16, true)),
      );
    else
      visit(
        names,
        name,
        bytes[p + 12]! & 15,
        view.getUint16(p + 14, true),
        BigInt(view.getUint32(p + 4, true)),
        view.getUint32(p + 8, true),
      );
  }
}

/** Address of the first symbol with a name; undefined for an unknown name. O(symbols). */
export function symbolAddress(elf: ElfFile, wanted: string): bigint | undefined {
  let found: bigint | undefined;
  eachSymbol(elf, (names, name, _type, _section, value) => {
    if (found === undefined && elf.text(names, name) === wanted) found = value;
  });
  return found;
}

/**
 * Reads the functions of the symbol table into `into`, with depth 0, so that DWARF's functions (from 1) win.
 * A function without a size reaches to the next one, or to the end of the mapped addresses. Symbols without a
 * section are imports.
 */
export function readElfSymbols(elf: ElfFile, into: FunctionSet): void {
  const { base, span } = elf,
    start = new U32Column(256),
    size = new U32Column(256),
    nameAt = new U32Column(256);
  let names: Uint8Array = new Uint8Array(0);
  eachSymbol(elf, (texts, name, type, section, value, bytes) => {
    const at = value - base;
    if ((type !== STT_FUNC && type !== STT_GNU_IFUNC) || section === 0 || at < 0n || at >= BigInt(span))
      return;
    names = texts;
    start.push(Number(at));
    size.push(Math.min(bytes, span));
    nameAt.push(name);
  });
  // Of several names at one address, a name with a size wins, then the first.
  const sized = (i: number): number => (size.data[i]! > 0 ? 1 : 0),
    order = Uint32Array.from({ length: start.length }, (_, i) => i).sort(
      (a, b) => start.data[a]! - start.data[b]! || sized(b) - sized(a) || a - b,
    );
  for (let i = 0; i < order.length; ) {
    const own = order[i]!,
      at = start.data[own]!,
      bytes = size.data[own]!;
    do i++;
    while (i < order.length && start.data[order[i]!] === at);
    const next = i < order.length ? start.data[order[i]!]! : span,
      end = bytes > 0 ? Math.min(at + bytes, next) : next,
      name = readableName(elf.text(names, nameAt.data[own]!));
    if (name !== "")
      into.addRange(at, end, into.addNode(-1, into.addFunction(into.addString(name), 0, 0), 0), 0);
  }
}
