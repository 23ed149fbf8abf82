import { type AddressTable, tableOf } from "./address-table.ts";
import { readDwarf } from "./dwarf.ts";
import { DebugFileError, ElfFile } from "./elf.ts";
import { readElfSymbols } from "./elf-symbols.ts";
import { FunctionSet } from "./functions.ts";
import { readPclntab } from "./pclntab.ts";

/**
 * What an ELF file knows of its functions: from DWARF with inlined ones and lines, and for
 * what is left from Go's table or the table of symbols.
 * @returns the file's build id in hex ("" where it has none) and its table
 * Throws DebugFileError.
 */
export function readDebugFile(bytes: Uint8Array): { buildId: string; table: AddressTable } {
  const elf = new ElfFile(bytes),
    set = new FunctionSet();
  if (elf.segments.length === 0)
    throw new DebugFileError(
      "expected a program, a library or the debug file of one: nothing of it is mapped",
    );
  if (elf.span > 0xffff_fffe) throw new DebugFileError("expected a program of less than 4 GiB");
  try {
    readDwarf(elf, set);
    // Go's DWARF leaves out what its linker makes: its own table is behind it, as a table of symbols is for others.
    if (!readPclntab(elf, set, set.rangeStart.length === 0)) readElfSymbols(elf, set);
  } catch (err) {
    if (err instanceof RangeError) throw new DebugFileError(`it is damaged: ${err.message}`);
    throw err;
  }
  return { buildId: elf.buildId, table: tableOf(set, elf.base, elf.segments) };
}
