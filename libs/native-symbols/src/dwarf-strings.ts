import { DwarfCursor } from "./dwarf-cursor.ts";
import type { ElfFile } from "./elf.ts";

/**
 * Texts in DWARF sections, by form (DWARF 5, chapter 7.5.6, table 7.6).
 *
 *   0x08 string     in place, ends with 0            0x1a strx      uleb index
 *   0x0e strp       offset in .debug_str             0x25 to 0x28   strx1 to strx4, index of 1 to 4 bytes
 *   0x1f line_strp  offset in .debug_line_str        index -> .debug_str_offsets -> .debug_str
 */
export class DwarfStrings {
  private readonly elf: ElfFile;
  constructor(elf: ElfFile) {
    this.elf = elf;
  }

  /**
   * A cursor at `offset` of a section, decompressed if it is stored so. @throws DebugFileError past the end
   */
  cursor(section: string, offset = 0): DwarfCursor {
    const bytes = this.elf.section(section),
      c = new DwarfCursor(bytes, section, offset);
    if (offset > bytes.length) c.refuse(`expected an offset inside the section of ${bytes.length} bytes`);
    return c;
  }

  /** Text at an offset; "" past the end of the section. */
  private at(section: string, offset: number): string {
    return this.elf.text(this.elf.section(section), offset);
  }

  /**
   * A text by its form; "" for a text in another file and for forms that are no text, whose value is skipped.
   * @param wide offsets have 8 bytes
   * @param offsetsBase start of the unit's part of `.debug_str_offsets`
   */
  read(c: DwarfCursor, form: number, wide: boolean, offsetsBase: number): string {
    const size = wide ? 8 : 4;
    switch (form) {
      case 0x08:
        return c.text();
      case 0x0e:
        return this.at(".debug_str", c.uint(size));
      case 0x1f:
        return this.at(".debug_line_str", c.uint(size));
      case 0x1a:
      case 0x25:
      case 0x26:
      case 0x27:
      case 0x28: {
        const index =
            form === 0x1a
              ? c.uleb()
              : form === 0x27
                ? c.u24()
                : c.uint(form === 0x25 ? 1 : form === 0x26 ? 2 : 4),
          at = offsetsBase + index * size;
        if (at + size > this.elf.section(".debug_str_offsets").length) return "";
        return this.at(".debug_str", this.cursor(".debug_str_offsets", at).uint(size));
      }
      default:
        this.skip(c, form, wide);
        return "";
    }
  }

  /**
   * Skips a value; `addressSize` and `version` are the unit's. Sizes that are not fixed:
   *
   *   uleb   0x0d sdata, 0x0f udata, 0x15 ref_udata, 0x1a strx, 0x1b addrx, 0x22 loclistx, 0x23 rnglistx
   *   text   0x08 string
   *   block  0x0a block1, 0x03 block2, 0x04 block4, 0x09 block, 0x18 exprloc: a size, then as many bytes
   *   0x16   indirect: a uleb form, then a value of that form
   */
  skip(c: DwarfCursor, form: number, wide: boolean, addressSize = 8, version = 5): void {
    const bytes = formBytes(form, wide, addressSize, version);
    if (bytes >= 0) {
      c.requireBytes(bytes);
      return;
    }
    switch (form) {
      case 0x0d:
      case 0x0f:
      case 0x15:
      case 0x1a:
      case 0x1b:
      case 0x22:
      case 0x23:
        c.uleb();
        return;
      case 0x08:
        c.skipText();
        return;
      case 0x0a:
        c.requireBytes(c.u8());
        return;
      case 0x03:
        c.requireBytes(c.u16());
        return;
      case 0x04:
        c.requireBytes(c.u32());
        return;
      case 0x09:
      case 0x18:
        c.requireBytes(c.uleb());
        return;
      case 0x16:
        this.skip(c, c.uleb(), wide, addressSize, version);
        return;
      default:
        c.refuse(`expected a form, found ${form.toString(16)}`);
    }
  }
}

/**
 * Size of a form's values if it is fixed, otherwise -1 (DWARF 5, chapter 7.5.6). 0x1f20 and 0x1f21 are GNU's
 * references into a supplementary file. ref_addr (0x10) had the size of an address in DWARF 2.
 */
export function formBytes(form: number, wide: boolean, addressSize: number, version: number): number {
  switch (form) {
    case 0x19:
    case 0x21:
      return 0; // the forms flag_present and implicit_const
    case 0x0b:
    case 0x0c:
    case 0x11:
    case 0x25:
    case 0x29:
      return 1;
    case 0x05:
    case 0x12:
    case 0x26:
    case 0x2a:
      return 2;
    case 0x27:
    case 0x2b:
      return 3;
    case 0x06:
    case 0x13:
    case 0x1c:
    case 0x28:
    case 0x2c:
      return 4;
    case 0x07:
    case 0x14:
    case 0x20:
    case 0x24:
      return 8;
    case 0x1e:
      return 16;
    case 0x01:
      return addressSize;
    case 0x0e:
    case 0x17:
    case 0x1d:
    case 0x1f:
    case 0x1f20:
    case 0x1f21:
      return wide ? 8 : 4;
    case 0x10:
      return version <= 2 ? addressSize : wide ? 8 : 4;
    default:
      return -1;
  }
}
