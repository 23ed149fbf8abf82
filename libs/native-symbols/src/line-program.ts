import { type DwarfCursor } from "./dwarf-cursor.ts";
import type { DwarfStrings } from "./dwarf-strings.ts";
import type { FunctionSet } from "./functions.ts";

/** Content types of file entries in version 5 (DWARF 5, chapter 6.2.4.1). */
const LNCT_PATH = 1,
  LNCT_DIRECTORY = 2;

/**
 * Runs the line program at `offset` of `.debug_line` (DWARF 2 to 5, chapter 6.2) and adds its rows to `set`.
 * The program drives a machine with the registers address and line; only rows inside of the mapped addresses
 * are kept. Rows that are no statement count as well.
 *
 *   length | version <2b> | v5: address size, segment size <1b each> | length of the header
 *   | minimum instruction <1b> | v4 and v5: operations per instruction <1b> | default_is_stmt <1b>
 *   | line base <1b> | line range <1b> | opcode base <1b> | operands of each standard opcode <1b each>
 *   | folders, files | program
 *
 * @param base subtracted from addresses
 * @param span size of the mapped addresses in bytes
 * @returns its files: number -> path; numbers start at 1 before version 5, where index 0 is ""
 * @throws DebugFileError for a version other than 2 to 5, or lengths outside of the section
 */
export function readLineProgram(
  strings: DwarfStrings,
  offset: number,
  base: bigint,
  span: number,
  set: FunctionSet,
): string[] {
  const c = strings.cursor(".debug_line", offset),
    { length, wide } = c.initialLength(),
    end = c.pos + length;
  if (end > c.end) c.refuse("expected a line program inside the section");
  c.end = end;
  const version = c.u16();
  if (version < 2 || version > 5) c.refuse(`expected a line program of version 2 to 5, found ${version}`);
  let addressSize = 8;
  if (version >= 5) {
    addressSize = c.u8();
    c.u8();
  }
  const headerLength = c.uint(wide ? 8 : 4),
    program = c.pos + headerLength,
    minLength = c.u8();
  if (version >= 4) c.u8();
  c.u8(); // skips the field default_is_stmt
  const lineBase = c.i8(),
    lineRange = c.u8(),
    opcodeBase = c.u8();
  if (lineRange === 0) c.refuse("expected a line range above 0");
  const operands = [0];
  for (let i = 1; i < opcodeBase; i++) operands.push(c.u8());
  const files = version >= 5 ? filesOf5(c, strings, wide) : filesOf2(c);
  c.pos = program;

  let address = 0,
    line = 1,
    valid = true,
    any = false;
  const emit = (endsHere: boolean): void => {
    // Code that the linker discarded has addresses outside of the file.
    if (valid && address >= 0 && address <= span) {
      if (!endsHere || any) set.addRow(address, Math.max(0, line), endsHere);
      any = !endsHere;
    }
  };
  while (c.pos < end) {
    const op = c.u8();
    if (op >= opcodeBase) {
      // A special opcode advances address and line at once, and adds a row (chapter 6.2.5.1).
      const adjusted = op - opcodeBase;
      address += Math.floor(adjusted / lineRange) * minLength;
      line += lineBase + (adjusted % lineRange);
      emit(false);
      continue;
    }
    switch (op) {
      case 0: {
        // Extended opcodes: size, opcode, operands. 1 ends the sequence, 2 sets the address; others are
        // skipped.
        const size = c.uleb(),
          next = c.pos + size;
        if (size === 0 || next > end) c.refuse("expected an instruction inside its program");
        const what = c.u8();
        if (what === 1) {
          emit(true);
          address = 0;
          line = 1;
          valid = true;
          any = false;
        } else if (what === 2) {
          address = c.address(size - 1 === 4 || size - 1 === 8 ? size - 1 : addressSize, base);
          valid = address > 0 || (address === 0 && base !== 0n);
        }
        c.pos = next;
        break;
      }
      case 1:
        emit(false);
        break;
      case 2:
        address += c.uleb() * minLength;
        break;
      case 3:
        line += c.sleb();
        break;
      // const_add_pc: the address advance of special opcode 255, without a row
      case 8:
        address += Math.floor((255 - opcodeBase) / lineRange) * minLength;
        break;
      // fixed_advance_pc: not scaled by the instruction length
      case 9:
        address += c.u16();
        break;
      default:
        for (let n = operands[op] ?? 0; n > 0; n--) c.uleb();
        break;
    }
  }
  return files;
}

function join(folder: string, name: string): string {
  return name.startsWith("/") || folder === "" ? name : `${folder}/${name}`;
}

// Versions 2 to 4: folders until an empty text, then files: name, folder, time, size, until an empty name.
function filesOf2(c: DwarfCursor): string[] {
  const folders = [""],
    files = [""];
  for (;;) {
    const t = c.text();
    if (t === "") break;
    folders.push(t);
  }
  for (;;) {
    const name = c.text();
    if (name === "") return files;
    files.push(join(folders[c.uleb()] ?? "", name));
    c.uleb();
    c.uleb();
  }
}

// Version 5: folders, then files, each as a list of (content type, form) and entries in that format.
function filesOf5(c: DwarfCursor, strings: DwarfStrings, wide: boolean): string[] {
  const entries = (): { path: string; folder: number }[] => {
    const format: [number, number][] = [];
    for (let n = c.u8(); n > 0; n--) format.push([c.uleb(), c.uleb()]);
    const count = c.uleb();
    if (format.length === 0 || count > c.left) {
      if (count > 0) c.refuse(`expected at most ${c.left} files, found ${count}`);
      return [];
    }
    return Array.from({ length: count }, () => {
      let path = "",
        folder = 0;
      for (const [kind, form] of format) {
        if (kind === LNCT_PATH) path = strings.read(c, form, wide, 0);
        else if (kind === LNCT_DIRECTORY)
          folder = form === 0x0b ? c.u8() : form === 0x05 ? c.u16() : c.uleb();
        else strings.skip(c, form, wide);
      }
      return { path, folder };
    });
  };
  const folders = entries().map((e) => e.path);
  return entries().map((e) => join(e.folder === 0 ? "" : (folders[e.folder] ?? ""), e.path));
}
