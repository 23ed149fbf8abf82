import { DwarfCursor } from "./dwarf-cursor.ts";
import type { ElfFile } from "./elf.ts";
import { symbolAddress } from "./elf-symbols.ts";
import type { FunctionSet } from "./functions.ts";

/**
 * Magics of the table since Go 1.16, 1.18 and 1.20; their layouts follow runtime/symtab.go (pcHeader, _func).
 * Fields of pcHeader after the word size are words; fields of _func have 4 bytes, but before 1.18 the entry
 * is a word.
 *
 *   pcHeader   magic <4b> | 0 <2b> | quantum <1b> | word size <1b> | functions | files
 *              | 1.18+: start of the text | offsets of: names | units | files | tables by counter | functions
 *   functions  (entry, offset of _func) of each function, then the end of the last one
 *   _func      entry | name | args | deferreturn | pcsp | pcfile | pcln | npcdata | unit | 1.20+: start line
 */
const GO_116 = 0xfffffffa,
  GO_118 = 0xfffffff0,
  GO_120 = 0xfffffff1;
const MAX_FUNCTIONS = 4_000_000;

/**
 * Reads Go's own table of functions and lines, which stripped programs keep. An inlined function appears as
 * its caller, because the table lacks the data for its name.
 * @param lines also read lines: no better source has any; ranges then have depth 1 instead of 0
 * @returns false if the file has no such table
 * @throws DebugFileError for a table of Go before 1.16, or offsets outside of the section
 */
export function readPclntab(elf: ElfFile, set: FunctionSet, lines: boolean): boolean {
  const section = elf.findSection(".gopclntab") ?? elf.findSection(".data.rel.ro.gopclntab");
  if (!section) return false;
  const bytes = elf.bytesOfSection(section),
    at = (offset: number): DwarfCursor => {
      const c = new DwarfCursor(bytes, section.name, offset);
      if (offset > bytes.length) c.refuse("expected an offset inside the section");
      return c;
    };
  if (bytes.length < 72) return false;
  const c = at(0),
    magic = c.u32();
  if (magic !== GO_116 && magic !== GO_118 && magic !== GO_120)
    c.refuse(`expected a table of Go 1.16 or later, found ${magic.toString(16)}`);
  c.u16();
  const quantum = c.u8(),
    word = c.u8(),
    count = c.uint(word);
  c.uint(word); // skips the number of files
  const recent = magic !== GO_116;
  if (recent) c.uint(word); // the start of the text, which later linkers leave out
  const names = c.uint(word),
    units = c.uint(word),
    files = c.uint(word),
    tables = c.uint(word),
    functions = c.uint(word);
  if (count > MAX_FUNCTIONS) c.refuse(`expected at most ${MAX_FUNCTIONS} functions, found ${count}`);
  const { base, span } = elf, // Recent headers leave out where the text begins: a symbol says it, where there are any.
    text = Number((symbolAddress(elf, "runtime.text") ?? elf.findSection(".text")?.address ?? base) - base),
    field = recent ? 4 : word;
  const index = at(functions),
    entry = (offset: number): number => (recent ? text + offset : offset - Number(base));
  let start = entry(index.uint(field));
  for (let i = 0; i < count; i++) {
    const f = at(functions + index.uint(field)),
      end = entry(index.uint(field));
    f.uint(recent ? 4 : word);
    const name = f.u32();
    f.u32(); // skips the field args
    f.u32(); // skips the field deferreturn
    f.u32(); // skips the field pcsp
    const pcfile = f.u32(),
      pcln = f.u32();
    f.u32(); // skips the field npcdata
    const unit = f.u32(),
      startLine = magic === GO_120 ? f.u32() : 0;
    if (start >= 0 && end > start && end <= span) {
      const file = firstFile(at, tables + pcfile, units + 4 * unit, files);
      set.addRange(
        start,
        end,
        set.addNode(
          -1,
          set.addFunction(set.addString(at(names + name).text()), set.addString(file), startLine),
          0,
        ),
        lines ? 1 : 0,
      );
      if (lines && pcln !== 0) putLines(at(tables + pcln), start, end, quantum, set);
    }
    start = end;
  }
  return true;
}

/**
 * Visits the values of a table by program counter. The table is a list of (zig-zag value difference, counter
 * difference / quantum), from value -1 and counter 0, up to a value difference of 0 that is not the first.
 * @param on returns whether to go on
 */
function eachStep(
  c: DwarfCursor,
  quantum: number,
  on: (from: number, to: number, value: number) => boolean,
): void {
  let value = -1,
    pc = 0;
  for (let first = true; ; first = false) {
    const step = c.uleb();
    if (step === 0 && !first) return;
    value += step % 2 === 0 ? step / 2 : -(step + 1) / 2;
    const next = pc + c.uleb() * quantum;
    if (!on(pc, next, value) || next === pc) return;
    pc = next;
  }
}

// File of a function's first instruction: the unit's table maps file numbers to offsets of names; all
// ones: no file.
function firstFile(at: (offset: number) => DwarfCursor, table: number, unit: number, files: number): string {
  let file = "";
  eachStep(at(table), 1, (_from, _to, value) => {
    const offset = value < 0 ? 0xffff_ffff : at(unit + 4 * value).u32();
    if (offset !== 0xffff_ffff) file = at(files + offset).text();
    return false;
  });
  return file;
}

// Adds the rows of one function; its last row ends the sequence, because functions have gaps.
function putLines(c: DwarfCursor, start: number, end: number, quantum: number, set: FunctionSet): void {
  eachStep(c, quantum, (from, _to, value) => {
    if (start + from >= end) return false;
    set.addRow(start + from, Math.max(0, value), false);
    return true;
  });
  set.addRow(end, 0, true);
}
