import { type DwarfCursor } from "./dwarf-cursor.ts";
import { DwarfStrings, formBytes } from "./dwarf-strings.ts";
import type { ElfFile } from "./elf.ts";
import type { FunctionSet } from "./functions.ts";
import { readLineProgram } from "./line-program.ts";
import { readableName } from "./readable-name.ts";

// Tags and attributes of DWARF 5, tables 7.3 and 7.5.
const TAG_SUBPROGRAM = 0x2e,
  TAG_INLINED = 0x1d,
  TAG_COMPILE_UNIT = 0x11,
  TAG_SKELETON = 0x4a;
/** class, enumeration, structure, union, interface, namespace, module: scopes that qualify names */
const SCOPES = new Set([0x02, 0x04, 0x13, 0x17, 0x38, 0x39, 0x1e]);
/** arrays, types of functions, calls: their children are skipped */
const WITHOUT_FUNCTIONS = new Set([0x01, 0x15, 0x48, 0x4109]);
const AT_SIBLING = 0x01,
  AT_NAME = 0x03,
  AT_STMT_LIST = 0x10,
  AT_LOW_PC = 0x11,
  AT_HIGH_PC = 0x12,
  AT_COMP_DIR = 0x1b,
  AT_ABSTRACT_ORIGIN = 0x31,
  AT_DECL_FILE = 0x3a,
  AT_DECL_LINE = 0x3b,
  AT_SPECIFICATION = 0x47,
  AT_RANGES = 0x55,
  AT_CALL_LINE = 0x59,
  AT_LINKAGE_NAME = 0x6e,
  AT_STR_OFFSETS_BASE = 0x72,
  AT_ADDR_BASE = 0x73,
  AT_RNGLISTS_BASE = 0x74,
  AT_MIPS_LINKAGE_NAME = 0x2007;
const FORM_STRINGS = new Set([0x08, 0x0e, 0x1f, 0x1a, 0x25, 0x26, 0x27, 0x28]);
/** attributes that are read from DWARF entries */
const ASKED = new Set([
  AT_SIBLING,
  AT_NAME,
  AT_STMT_LIST,
  AT_LOW_PC,
  AT_HIGH_PC,
  AT_COMP_DIR,
  AT_ABSTRACT_ORIGIN,
  AT_DECL_FILE,
  AT_DECL_LINE,
  AT_SPECIFICATION,
  AT_RANGES,
  AT_CALL_LINE,
  AT_LINKAGE_NAME,
  AT_STR_OFFSETS_BASE,
  AT_ADDR_BASE,
  AT_RNGLISTS_BASE,
  AT_MIPS_LINKAGE_NAME,
]);
const MAX_DEPTH = 512,
  MAX_ORIGINS = 16;

/** `bytes`: total size of the values if it is fixed, otherwise -1 */
interface Abbreviation {
  tag: number;
  children: boolean;
  bytes: number;
  attributes: { name: number; form: number; constant: number }[];
}
interface Unit {
  start: number;
  version: number;
  wide: boolean;
  addressSize: number;
  low: number;
  lowRaw: bigint;
  strOffsets: number;
  addresses: number;
  rangeLists: number;
  files: string[];
}
/** A function's entry, with the offset of the entry that completes it, if any. */
interface Entry {
  name: string;
  linkage: string;
  scope: string;
  origin: number;
  file: string;
  line: number;
}
interface Values {
  texts: Map<number, string>;
  numbers: Map<number, number>;
  forms: Map<number, number>;
}

/**
 * Reads functions, inlined calls and lines of DWARF 2 to 5 into `set`. Ignores split DWARF (.dwo) and
 * supplementary files.
 */
export function readDwarf(elf: ElfFile, set: FunctionSet): void {
  if (elf.section(".debug_info").length > 0) new DwarfReader(elf, set).read();
}

class DwarfReader {
  private readonly set: FunctionSet;
  private readonly strings: DwarfStrings;
  private readonly base: bigint;
  private readonly span: number;
  private readonly abbreviations = new Map<string, Map<number, Abbreviation>>();
  private readonly entries = new Map<number, Entry>();
  /** offset of an entry -> function; entries may follow their references */
  private readonly functions = new Map<number, number>();
  private readonly lineFiles = new Map<number, string[]>();
  /** pairs: a node of the inline tree whose function follows later in the DWARF entries, and the offset of that entry */
  private readonly waiting: number[] = [];
  private readonly values: Values = { texts: new Map(), numbers: new Map(), forms: new Map() };

  constructor(elf: ElfFile, set: FunctionSet) {
    this.set = set;
    this.strings = new DwarfStrings(elf);
    this.base = elf.base;
    this.span = elf.span;
  }

  read(): void {
    const c = this.strings.cursor(".debug_info"),
      all = c.end;
    while (c.pos < all) {
      const start = c.pos,
        { length, wide } = c.initialLength(),
        end = c.pos + length;
      if (end > all) c.refuse("expected a unit inside the section");
      c.end = end;
      this.unit(c, start, wide);
      c.pos = end;
      c.end = all;
    }
    for (let i = 0; i < this.waiting.length; i += 2)
      this.set.nodeFunction.data[this.waiting[i]!] = this.functionOf(this.waiting[i + 1]!);
  }

  private unit(c: DwarfCursor, start: number, wide: boolean): void {
    const version = c.u16(),
      size = wide ? 8 : 4;
    if (version < 2 || version > 5) c.refuse(`expected a unit of version 2 to 5, found ${version}`);
    let addressSize: number, abbreviationsAt: number;
    if (version >= 5) {
      const type = c.u8();
      addressSize = c.u8();
      abbreviationsAt = c.uint(size);
      if (type === 4 || type === 5) c.requireBytes(8);
      else if (type === 2 || type === 6) return; // units of types hold no code
    } else {
      abbreviationsAt = c.uint(size);
      addressSize = c.u8();
    }
    if (addressSize !== 4 && addressSize !== 8)
      c.refuse(`expected addresses of 4 or 8 bytes, found ${addressSize}`);
    const unit: Unit = {
      start,
      version,
      wide,
      addressSize,
      low: 0,
      lowRaw: 0n,
      strOffsets: wide ? 16 : 8,
      addresses: wide ? 16 : 8,
      rangeLists: wide ? 20 : 12,
      files: [],
    };
    const abbreviations = this.abbreviationsAt(abbreviationsAt, unit);
    /** for each open entry: its node (-1: none), its depth, and the scope that it opens */
    const nodes: number[] = [-1],
      depths: number[] = [0],
      scopes: string[] = [""];
    while (c.pos < c.end) {
      const offset = c.pos,
        code = c.uleb();
      if (code === 0) {
        if (nodes.length <= 1) return;
        nodes.pop();
        depths.pop();
        scopes.pop();
        continue;
      }
      const a = abbreviations.get(code);
      if (!a) c.refuse(`expected an abbreviation, found ${code}`);
      const above = nodes.length - 1;
      let node = nodes[above]!,
        depth = depths[above]!,
        scope = scopes[above]!;
      if (a.tag === TAG_SUBPROGRAM || a.tag === TAG_INLINED) {
        this.attributes(c, a, unit);
        const entry = this.entry(unit, scope);
        if (a.tag === TAG_SUBPROGRAM) {
          this.entries.set(offset, entry);
          node = -1;
          depth = 0;
        }
        const ranges = this.ranges(unit);
        if (ranges.length > 0) {
          const own = this.set.addNode(node, 0, this.values.numbers.get(AT_CALL_LINE) ?? 0);
          this.waiting.push(own, a.tag === TAG_SUBPROGRAM ? offset : entry.origin);
          node = own;
          depth++;
          for (let i = 0; i < ranges.length; i += 2)
            this.set.addRange(ranges[i]!, ranges[i + 1]!, own, depth);
        }
      } else if (a.tag === TAG_COMPILE_UNIT || a.tag === TAG_SKELETON) {
        // Bases of indices may follow the attributes that need them.
        const at = c.pos;
        this.attributes(c, a, unit);
        this.bases(unit);
        c.pos = at;
        this.attributes(c, a, unit);
        this.compileUnit(unit);
      } else if (SCOPES.has(a.tag)) {
        this.attributes(c, a, unit);
        const name = this.values.texts.get(AT_NAME);
        if (name) scope = scope === "" ? name : `${scope}::${name}`;
      } else {
        if (!a.children || !WITHOUT_FUNCTIONS.has(a.tag)) this.stepOver(c, a, unit);
        else {
          this.attributes(c, a, unit);
          const sibling = this.values.numbers.get(AT_SIBLING);
          if (sibling !== undefined && sibling > c.pos && sibling < c.end) {
            c.pos = sibling;
            continue;
          }
        }
      }
      if (!a.children) continue;
      if (nodes.length > MAX_DEPTH) c.refuse(`expected entries nested at most ${MAX_DEPTH} deep`);
      nodes.push(node);
      depths.push(depth);
      scopes.push(scope);
    }
  }

  private abbreviationsAt(offset: number, u: Unit): Map<number, Abbreviation> {
    const key = `${offset} ${u.wide} ${u.addressSize} ${u.version}`;
    let known = this.abbreviations.get(key);
    if (known) return known;
    this.abbreviations.set(key, (known = new Map()));
    const c = this.strings.cursor(".debug_abbrev", offset);
    for (let code = c.uleb(); code !== 0; code = c.uleb()) {
      const a: Abbreviation = { tag: c.uleb(), children: c.u8() !== 0, bytes: 0, attributes: [] };
      for (;;) {
        const name = c.uleb(),
          form = c.uleb(),
          constant = form === 0x21 ? c.sleb() : 0;
        if (name === 0 && form === 0) break;
        a.attributes.push({ name, form, constant });
        const bytes = formBytes(form, u.wide, u.addressSize, u.version);
        a.bytes = bytes < 0 || a.bytes < 0 ? -1 : a.bytes + bytes;
      }
      known.set(code, a);
    }
    return known;
  }

  /** Skips the values of an entry. */
  private stepOver(c: DwarfCursor, a: Abbreviation, u: Unit): void {
    if (a.bytes >= 0) {
      c.requireBytes(a.bytes);
      return;
    }
    for (const { form } of a.attributes) this.strings.skip(c, form, u.wide, u.addressSize, u.version);
  }

  /** Reads the attributes in ASKED of an entry into `values`. */
  private attributes(c: DwarfCursor, a: Abbreviation, u: Unit): void {
    const { texts, numbers, forms } = this.values;
    texts.clear();
    numbers.clear();
    forms.clear();
    for (const { name, form: said, constant } of a.attributes) {
      const form = said === 0x16 ? c.uleb() : said;
      if (!ASKED.has(name)) {
        this.strings.skip(c, form, u.wide, u.addressSize, u.version);
        continue;
      }
      if (FORM_STRINGS.has(form)) {
        texts.set(name, this.strings.read(c, form, u.wide, u.strOffsets));
        continue;
      }
      const n = this.number(c, form, constant, u);
      if (n !== undefined) {
        numbers.set(name, n);
        forms.set(name, form);
      }
    }
  }

  /**
   * A number by its form: addresses are relative to the base, references to entries are offsets in the
   * section.
   */
  private number(c: DwarfCursor, form: number, constant: number, u: Unit): number | undefined {
    switch (form) {
      case 0x01:
        return c.address(u.addressSize, this.base);
      case 0x0b:
        return c.u8();
      case 0x05:
        return c.u16();
      case 0x06:
        return c.u32();
      case 0x07:
        return c.u64();
      case 0x0f:
        return c.uleb();
      case 0x0d:
        return c.sleb();
      case 0x21:
        return constant;
      case 0x17:
        return c.uint(u.wide ? 8 : 4);
      case 0x11:
        return u.start + c.u8();
      case 0x12:
        return u.start + c.u16();
      case 0x13:
        return u.start + c.u32();
      case 0x14:
        return u.start + c.u64();
      case 0x15:
        return u.start + c.uleb();
      case 0x10:
        return c.uint(u.version <= 2 ? u.addressSize : u.wide ? 8 : 4);
      case 0x1b:
        return this.addressAt(u, c.uleb());
      case 0x29:
        return this.addressAt(u, c.u8());
      case 0x2a:
        return this.addressAt(u, c.u16());
      case 0x2b:
        return this.addressAt(u, c.u24());
      case 0x2c:
        return this.addressAt(u, c.u32());
      case 0x23:
        return c.uleb(); // the attribute's value is an index into the table of range lists
      default:
        this.strings.skip(c, form, u.wide, u.addressSize, u.version);
        return undefined;
    }
  }

  private addressAt(u: Unit, index: number): number {
    const at = u.addresses + index * u.addressSize,
      c = this.strings.cursor(".debug_addr");
    if (at + u.addressSize > c.end) return -1;
    c.pos = at;
    return c.address(u.addressSize, this.base);
  }

  private bases(u: Unit): void {
    const { numbers } = this.values;
    u.strOffsets = numbers.get(AT_STR_OFFSETS_BASE) ?? u.strOffsets;
    u.addresses = numbers.get(AT_ADDR_BASE) ?? u.addresses;
    u.rangeLists = numbers.get(AT_RNGLISTS_BASE) ?? u.rangeLists;
  }

  private compileUnit(u: Unit): void {
    const { numbers } = this.values,
      line = numbers.get(AT_STMT_LIST);
    // A unit with several ranges has a low address of 0, which is outside of the file: its lists are absolute
    // then.
    const low = numbers.get(AT_LOW_PC);
    u.low = low === undefined || low < 0 ? -Number(this.base) : low;
    if (line === undefined) return;
    let files = this.lineFiles.get(line);
    if (!files)
      this.lineFiles.set(line, (files = readLineProgram(this.strings, line, this.base, this.span, this.set)));
    u.files = files;
  }

  private entry(u: Unit, scope: string): Entry {
    const { texts, numbers } = this.values;
    return {
      name: texts.get(AT_NAME) ?? "",
      linkage: texts.get(AT_LINKAGE_NAME) ?? texts.get(AT_MIPS_LINKAGE_NAME) ?? "",
      scope,
      origin: numbers.get(AT_ABSTRACT_ORIGIN) ?? numbers.get(AT_SPECIFICATION) ?? -1,
      file: u.files[numbers.get(AT_DECL_FILE) ?? -1] ?? "",
      line: numbers.get(AT_DECL_LINE) ?? 0,
    };
  }

  /** Ranges of the current entry, as alternating starts and ends. */
  private ranges(u: Unit): number[] {
    const { numbers, forms } = this.values,
      out: number[] = [],
      list = numbers.get(AT_RANGES);
    const put = (start: number, end: number): void => {
      if (start >= 0 && end > start && end <= this.span && !(start === 0 && this.base === 0n))
        out.push(start, end);
    };
    if (list !== undefined) {
      if (u.version >= 5)
        this.rangeList(u, forms.get(AT_RANGES) === 0x23 ? this.rangeListAt(u, list) : list, put);
      else this.oldRanges(u, list, put);
      return out;
    }
    const low = numbers.get(AT_LOW_PC),
      high = numbers.get(AT_HIGH_PC);
    if (low !== undefined && high !== undefined && low >= 0) {
      const form = forms.get(AT_HIGH_PC)!,
        isAddress = form === 0x01 || form === 0x1b || (form >= 0x29 && form <= 0x2c);
      put(low, isAddress ? high : low + high);
    }
    return out;
  }

  private rangeListAt(u: Unit, index: number): number {
    const size = u.wide ? 8 : 4;
    return u.rangeLists + this.strings.cursor(".debug_rnglists", u.rangeLists + index * size).uint(size);
  }

  private rangeList(u: Unit, offset: number, put: (start: number, end: number) => void): void {
    const c = this.strings.cursor(".debug_rnglists", offset);
    let low = u.low;
    for (;;) {
      const kind = c.u8();
      switch (kind) {
        case 0:
          return;
        case 1:
          low = this.addressAt(u, c.uleb());
          break;
        case 2: {
          const start = this.addressAt(u, c.uleb());
          put(start, this.addressAt(u, c.uleb()));
          break;
        }
        case 3: {
          const start = this.addressAt(u, c.uleb());
          put(start, start + c.uleb());
          break;
        }
        case 4: {
          const start = c.uleb();
          put(low + start, low + c.uleb());
          break;
        }
        case 5:
          low = c.address(u.addressSize, this.base);
          break;
        case 6: {
          const start = c.address(u.addressSize, this.base);
          put(start, c.address(u.addressSize, this.base));
          break;
        }
        case 7: {
          const start = c.address(u.addressSize, this.base);
          put(start, start + c.uleb());
          break;
        }
        default:
          c.refuse(`expected an entry of a range list, found ${kind}`);
      }
    }
  }

  private oldRanges(u: Unit, offset: number, put: (start: number, end: number) => void): void {
    const c = this.strings.cursor(".debug_ranges", offset),
      most = u.addressSize === 8 ? 2 ** 64 : 2 ** 32 - 1;
    let low = u.low;
    for (;;) {
      const at = c.pos,
        start = c.uint(u.addressSize),
        end = c.uint(u.addressSize);
      if (start === 0 && end === 0) return;
      if (start >= most) {
        c.pos = at + u.addressSize;
        low = c.address(u.addressSize, this.base);
        continue;
      }
      put(low + start, low + end);
    }
  }

  /** Function of an entry, with name and position from the entries that it refers to if it has none. */
  private functionOf(offset: number): number {
    const known = this.functions.get(offset);
    if (known !== undefined) return known;
    const { set } = this;
    let name = "",
      linkage = "",
      file = "",
      line = 0,
      at = offset;
    for (let i = 0; i < MAX_ORIGINS && at >= 0; i++) {
      const e = this.entries.get(at);
      if (!e) break;
      if (name === "" && e.name !== "") name = e.scope === "" ? e.name : `${e.scope}::${e.name}`;
      linkage ||= e.linkage;
      if (file === "") file = e.file;
      line ||= e.line;
      at = e.origin;
    }
    const text = name || readableName(linkage),
      f = set.addFunction(set.addString(text), set.addString(file), line);
    this.functions.set(offset, f);
    return f;
  }
}
