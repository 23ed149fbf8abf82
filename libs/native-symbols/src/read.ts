import { type AddressTable, buildAddressTable } from "./address-table.ts";
import { readDwarf } from "./dwarf.ts";
import { DebugFileError, ElfFile } from "./elf.ts";
import { readElfSymbols } from "./elf-symbols.ts";
import { FunctionSet } from "./functions.ts";
import { readPclntab } from "./pclntab.ts";

/**
 * Reads the functions of an ELF file: from DWARF with inlined calls and lines, and the remaining ones from
 * Go's table or the symbol table. Synchronous; memory is some times the size of the debug sections.
 *
 *   .debug_info, .debug_line -> depth 1 and more   |
 *   .gopclntab               -> depth 0, or 1      |-> FunctionSet -> AddressTable
 *   .symtab or .dynsym       -> depth 0            |
 *
 * @returns the file's build ID in hex ("" without one) and its table
 * @throws DebugFileError for other or damaged files, programs of 4 GiB or more, and files without function
 * names
 */
export function readDebugFile(bytes: Uint8Array): { buildId: string; table: AddressTable } {
  const elf = new ElfFile(bytes),
    set = new FunctionSet();
  if (elf.segments.length === 0)
    throw new DebugFileError("expected a program, a shared library or its debug file: no segment is mapped");
  if (elf.span > 0xffff_fffe) throw new DebugFileError("expected a program smaller than 4 GiB");
  try {
    readDwarf(elf, set);
    // DWARF omits functions that Go's linker creates, so Go's own table is read as well, like the symbol
    // table for other programs.
    if (!readPclntab(elf, set, set.rangeStart.length === 0)) readElfSymbols(elf, set);
  } catch (err) {
    if (err instanceof RangeError) throw new DebugFileError(`the file is damaged: ${err.message}`);
    throw err;
  }
  return { buildId: elf.buildId, table: buildAddressTable(set, elf.base, elf.segments) };
}
