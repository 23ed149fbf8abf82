export { AddressTable, type Frame } from "./address-table.ts";
export { readDebugFile } from "./read.ts";
export { DebugFileError } from "./elf.ts";
