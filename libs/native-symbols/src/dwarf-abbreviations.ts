import { type DwarfCursor } from "./dwarf-cursor.ts";
import { formBytes } from "./dwarf-strings.ts";

// Tags and attributes of DWARF 5, tables 7.3 and 7.5. 0x4109 and 0x2007 are extensions of GNU and MIPS.
export const TAG_SUBPROGRAM = 0x2e,
  TAG_INLINED = 0x1d,
  TAG_COMPILE_UNIT = 0x11,
  TAG_SKELETON = 0x4a;
/** class, enumeration, structure, union, interface, namespace, module: scopes that qualify names */
export const SCOPES = new Set([0x02, 0x04, 0x13, 0x17, 0x38, 0x39, 0x1e]);
/** arrays, types of functions, calls: their children are skipped */
export const WITHOUT_FUNCTIONS = new Set([0x01, 0x15, 0x48, 0x4109]);
export const AT_SIBLING = 0x01,
  AT_NAME = 0x03,
  AT_STMT_LIST = 0x10,
  AT_LOW_PC = 0x11,
  AT_HIGH_PC = 0x12,
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
export const FORM_STRINGS = new Set([0x08, 0x0e, 0x1f, 0x1a, 0x25, 0x26, 0x27, 0x28]);
/** attributes that are read from DWARF entries */
export const ASKED = new Set([
  AT_SIBLING,
  AT_NAME,
  AT_STMT_LIST,
  AT_LOW_PC,
  AT_HIGH_PC,
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
/**
 * An entry of `.debug_abbrev`: the shape of DWARF entries, which then have only its code and their values.
 *
 *   code uleb | tag uleb | has children <1b> | (attribute uleb, form uleb, constant sleb?) ... | 0 | 0
 *
 * `bytes` is the total size of the values if it is fixed, otherwise -1. `constant` is the value of the form
 * implicit_const (0x21), whose entries have no bytes for it.
 */
export interface Abbreviation {
  tag: number;
  children: boolean;
  bytes: number;
  attributes: { name: number; form: number; constant: number }[];
}
/**
 * Reads the abbreviations from the cursor up to code 0 (DWARF 5, chapter 7.5.3).
 * @returns code -> abbreviation; valid for units with the same sizes of offsets and addresses
 * @throws DebugFileError for a list that has no end
 */
export function readAbbreviations(
  c: DwarfCursor,
  wide: boolean,
  addressSize: number,
  version: number,
): Map<number, Abbreviation> {
  const abbreviations = new Map<number, Abbreviation>();
  for (let code = c.uleb(); code !== 0; code = c.uleb()) {
    const a: Abbreviation = { tag: c.uleb(), children: c.u8() !== 0, bytes: 0, attributes: [] };
    for (;;) {
      const name = c.uleb(),
        form = c.uleb(),
        constant = form === 0x21 ? c.sleb() : 0;
      if (name === 0 && form === 0) break;
      a.attributes.push({ name, form, constant });
      const bytes = formBytes(form, wide, addressSize, version);
      a.bytes = bytes < 0 || a.bytes < 0 ? -1 : a.bytes + bytes;
    }
    abbreviations.set(code, a);
  }
  return abbreviations;
}
