import {
  type Abbreviation,
  ASKED,
  AT_ABSTRACT_ORIGIN,
  AT_ADDR_BASE,
  AT_CALL_LINE,
  AT_DECL_FILE,
  AT_DECL_LINE,
  AT_HIGH_PC,
  AT_LINKAGE_NAME,
  AT_LOW_PC,
  AT_MIPS_LINKAGE_NAME,
  AT_NAME,
  AT_RANGES,
  AT_RNGLISTS_BASE,
  AT_SIBLING,
  AT_SPECIFICATION,
  AT_STMT_LIST,
  AT_STR_OFFSETS_BASE,
  FORM_STRINGS,
  SCOPES,
  TAG_COMPILE_UNIT,
  TAG_INLINED,
  TAG_SKELETON,
  TAG_SUBPROGRAM,
  WITHOUT_FUNCTIONS,
  readAbbreviations,
} from "./dwarf-abbreviations.ts";
import { type DwarfCursor } from "./dwarf-cursor.ts";
import { DwarfStrings } from "./dwarf-strings.ts";
import type { ElfFile } from "./elf.ts";
import type { FunctionSet } from "./functions.ts";
import { readLineProgram } from "./line-program.ts";
import { readableName } from "./readable-name.ts";

const MAX_DEPTH = 512,
  MAX_ORIGINS = 16;

/**
 * Sizes and bases of one unit. `low` is the address that range lists are relative to. `strOffsets`,
 * `addresses` and `rangeLists` are the unit's parts of indexed sections, by default after one header.
 */
interface Unit {
  start: number;
  version: number;
  wide: boolean;
  addressSize: number;
  low: number;
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
/**
 * Attributes of the current entry that are asked for: attribute -> text, or number and the form that it had.
 */
interface Values {
  texts: Map<number, string>;
  numbers: Map<number, number>;
  forms: Map<number, number>;
}

/**
 * Reads functions, inlined calls and lines of DWARF 2 to 5 into `set`. Ignores split DWARF (.dwo) and
 * supplementary files.
 *
 *   unit > subprogram main, ranges            -> node main, depth 1, its ranges
 *        >   inlined_subroutine f, call line  -> node f below main, depth 2, its ranges
 *        > subprogram f, no ranges            -> only a name: the abstract origin of the call
 *
 * @throws DebugFileError for versions other than 2 to 5, and for damaged sections
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
  /** offset of a subprogram's entry in .debug_info -> its names and position */
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

  /**
   * Reads one unit after its initial length (DWARF 5, chapter 7.5.1), entry by entry.
   *
   *   v2 to v4  version <2b> | offset of abbreviations <4b or 8b> | address size <1b> | entries
   *   v5        version <2b> | type <1b> | address size <1b> | offset of abbreviations | entries
   *
   * Entries are a tree in pre-order: code uleb, values; the children of an entry end with code 0.
   */
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

  /** Abbreviations at an offset; the key holds what their fixed sizes depend on. */
  private abbreviationsAt(offset: number, u: Unit): Map<number, Abbreviation> {
    const key = `${offset} ${u.wide} ${u.addressSize} ${u.version}`;
    let known = this.abbreviations.get(key);
    if (!known) {
      const c = this.strings.cursor(".debug_abbrev", offset);
      this.abbreviations.set(key, (known = readAbbreviations(c, u.wide, u.addressSize, u.version)));
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

  /** Address by its index in the unit's part of `.debug_addr`; -1 past the end. */
  private addressAt(u: Unit, index: number): number {
    const at = u.addresses + index * u.addressSize,
      c = this.strings.cursor(".debug_addr");
    if (at + u.addressSize > c.end) return -1;
    c.pos = at;
    return c.address(u.addressSize, this.base);
  }

  /** Sets the bases that indexed forms need, from the attributes of the unit's entry. */
  private bases(u: Unit): void {
    const { numbers } = this.values;
    u.strOffsets = numbers.get(AT_STR_OFFSETS_BASE) ?? u.strOffsets;
    u.addresses = numbers.get(AT_ADDR_BASE) ?? u.addresses;
    u.rangeLists = numbers.get(AT_RNGLISTS_BASE) ?? u.rangeLists;
  }

  /** Reads the unit's line program, once for all units that share it. */
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

  /** Names, position and reference of the current entry. */
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
    // high_pc is an address if its form is one of addresses, otherwise a size (DWARF 4 and later).
    const low = numbers.get(AT_LOW_PC),
      high = numbers.get(AT_HIGH_PC);
    if (low !== undefined && high !== undefined && low >= 0) {
      const form = forms.get(AT_HIGH_PC)!,
        isAddress = form === 0x01 || form === 0x1b || (form >= 0x29 && form <= 0x2c);
      put(low, isAddress ? high : low + high);
    }
    return out;
  }

  /** Offset of a range list by its index: the table of offsets follows the header. */
  private rangeListAt(u: Unit, index: number): number {
    const size = u.wide ? 8 : 4;
    return u.rangeLists + this.strings.cursor(".debug_rnglists", u.rangeLists + index * size).uint(size);
  }

  /**
   * Visits a range list of DWARF 5 (chapter 7.25). Kinds: 0 end, 1 base by index, 2 start and end by index, 3
   * start by index and length, 4 offsets from the base, 5 base, 6 start and end, 7 start and length.
   */
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

  /**
   * Visits a range list of DWARF 2 to 4: pairs of offsets from the base, up to (0, 0). A start of all ones
   * sets the base.
   */
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
