import { inflateSync, zstdDecompressSync } from "node:zlib";
import { CinderblockError } from "@cinderblock/errors";
import { decodeUtf8 } from "@cinderblock/bytes";

/**
 * Error for a file that is no readable ELF file or whose debug data are damaged; the message states the
 * expected content. Kind `invalid`: the file, not the server, is at fault.
 */
export class DebugFileError extends CinderblockError {
  constructor(what: string) {
    super("invalid", `not a debug file: ${what}`);
    this.name = "DebugFileError";
  }
}

/**
 * A section header of an ELF file (gabi chapter 4). Offset and size are bytes of the file, `size` before
 * decompression; `link` is the index of a related section, for symbol tables that of their names.
 */
export interface ElfSection {
  name: string;
  type: number;
  flags: number;
  address: bigint;
  offset: number;
  size: number;
  link: number;
  entrySize: number;
}
/**
 * A part of the file that is mapped into memory (PT_LOAD, gabi chapter 5): file bytes [offset, offset +
 * fileSize) at addresses [address, address + memorySize). Memory beyond the file's bytes is zero.
 */
export interface ElfSegment {
  offset: bigint;
  address: bigint;
  fileSize: bigint;
  memorySize: bigint;
  executable: boolean;
}

const SHT_NOTE = 7,
  SHT_NOBITS = 8,
  SHF_COMPRESSED = 0x800,
  PT_LOAD = 1,
  PF_X = 1,
  NT_GNU_BUILD_ID = 3;
/** Limits for hostile files: sections, and bytes of all compressed sections together when inflated. */
const MAX_SECTIONS = 65_535,
  MAX_INFLATED_BYTES = 1 << 30;

/**
 * An ELF file of 32 or 64 bits, little endian. Field layout: System V ABI, gabi chapters 4 and 5. Sections
 * are views of the bytes, or cached copies where they are compressed.
 *
 *   | ELF header | program headers: segments | ... section bytes ... | section headers |
 *     `- phoff --^                                                   ^
 *     `- shoff ------------------------------------------------------'   shstrndx: section with the names
 */
export class ElfFile {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly is64: boolean;
  readonly sections: ElfSection[] = [];
  readonly segments: ElfSegment[] = [];
  /** name -> decompressed bytes */
  private readonly read = new Map<string, Uint8Array>();
  /** bytes of compressed sections so far */
  private inflated = 0;

  /**
   * Reads the headers. The bytes must stay unchanged.
   * @throws DebugFileError for another magic, byte order or class, and for headers outside of the file
   */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < 52 || this.view.getUint32(0) !== 0x7f454c46)
      throw new DebugFileError("expected an ELF file, which begins with 7f 45 4c 46");
    if (bytes[5] !== 1) throw new DebugFileError("expected a little-endian ELF file");
    if (bytes[4] !== 1 && bytes[4] !== 2)
      throw new DebugFileError(`expected an ELF file of 32 or 64 bits, found class ${bytes[4]}`);
    this.is64 = bytes[4] === 2;
    try {
      this.readHeaders();
    } catch (err) {
      if (err instanceof RangeError)
        throw new DebugFileError("expected headers inside the file: the file is truncated");
      throw err;
    }
  }

  /** An address or offset of the file's class: 4 or 8 bytes. */
  private word(at: number): bigint {
    return this.is64 ? this.view.getBigUint64(at, true) : BigInt(this.view.getUint32(at, true));
  }
  private small(at: number, what: string): number {
    const v = this.word(at);
    if (v > BigInt(Number.MAX_SAFE_INTEGER))
      throw new DebugFileError(`expected ${what} inside the file, found ${v}`);
    return Number(v);
  }

  private readHeaders(): void {
    const { view, is64 } = this;
    const programs = this.small(is64 ? 32 : 28, "program headers"),
      table = this.small(is64 ? 40 : 32, "section headers"),
      at = is64 ? 54 : 42;
    const programSize = view.getUint16(at, true),
      programCount = view.getUint16(at + 2, true),
      headerSize = view.getUint16(at + 4, true);
    let count = view.getUint16(at + 6, true),
      names = view.getUint16(at + 8, true);
    for (let i = 0; i < programCount; i++) {
      const p = programs + i * programSize;
      if (view.getUint32(p, true) !== PT_LOAD) continue;
      const flags = view.getUint32(p + (is64 ? 4 : 24), true),
        [offset, address, fileSize, memorySize] = (is64 ? [8, 16, 32, 40] : [4, 8, 16, 20]).map((d) =>
          this.word(p + d),
        ) as [bigint, bigint, bigint, bigint];
      this.segments.push({ offset, address, fileSize, memorySize, executable: (flags & PF_X) !== 0 });
    }
    if (table === 0) return;
    const d = is64
      ? { flags: 8, address: 16, offset: 24, size: 32, link: 40, entry: 56 }
      : { flags: 8, address: 12, offset: 16, size: 20, link: 24, entry: 36 };
    // ELF extended numbering, for values that do not fit the 16-bit header fields: a count of 0 means that
    // section 0's sh_size has the count; a name table index of 0xffff, that section 0's sh_link has the index.
    if (count === 0) count = this.small(table + d.size, "sections");
    if (names === 0xffff) names = view.getUint32(table + d.link, true);
    if (count > MAX_SECTIONS)
      throw new DebugFileError(`expected at most ${MAX_SECTIONS} sections, found ${count}`);
    const nameAt: number[] = [];
    for (let i = 0; i < count; i++) {
      const s = table + i * headerSize;
      nameAt.push(view.getUint32(s, true));
      this.sections.push({
        name: "",
        type: view.getUint32(s + 4, true),
        flags: Number(this.word(s + d.flags) & 0xffff_ffffn),
        address: this.word(s + d.address),
        offset: this.small(s + d.offset, "a section"),
        size: this.small(s + d.size, "a section"),
        link: view.getUint32(s + d.link, true),
        entrySize: this.small(s + d.entry, "a section's entries"),
      });
    }
    const strings = this.sections[names];
    if (strings)
      this.sections.forEach((s, i) => {
        s.name = this.text(this.raw(strings), nameAt[i]!);
      });
  }

  /** A text that ends with a zero byte. */
  text(bytes: Uint8Array, at: number): string {
    const end = at < bytes.length ? bytes.indexOf(0, at) : -1;
    return end < 0 ? "" : decodeUtf8(bytes, at, end);
  }

  // Bytes of a section in the file; none for NOBITS, such as .bss, or the code in a separate debug file.
  private raw(s: ElfSection): Uint8Array {
    if (s.type === SHT_NOBITS) return new Uint8Array(0);
    if (s.offset + s.size > this.bytes.length)
      throw new DebugFileError(
        `expected section ${s.name || "of names"} inside the file: the file is truncated`,
      );
    return this.bytes.subarray(s.offset, s.offset + s.size);
  }

  /** First section header with a name. */
  findSection(name: string): ElfSection | undefined {
    return this.sections.find((s) => s.name === name);
  }

  /** Decompressed bytes of a section; empty if it is missing or has no bytes in this file. */
  section(name: string): Uint8Array {
    let known = this.read.get(name);
    if (!known) {
      const s = this.findSection(name);
      this.read.set(name, (known = s ? this.bytesOfSection(s) : new Uint8Array(0)));
    }
    return known;
  }

  /**
   * Decompressed bytes of a section (gabi, Elf64_Chdr: type <4b>, 0 <4b>, size <8b>, alignment <8b>; 32 bits:
   * type, size, alignment). Type 1 is zlib, 2 zstd.
   * @throws DebugFileError for bytes outside of the file, damaged compression, another type, or more than 1
   * GiB in total
   */
  bytesOfSection(s: ElfSection): Uint8Array {
    const raw = this.raw(s);
    if ((s.flags & SHF_COMPRESSED) === 0 || raw.length === 0) return raw;
    const head = this.is64 ? 24 : 12,
      view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    if (raw.length < head) throw new DebugFileError(`compressed section ${s.name} is truncated`);
    const kind = view.getUint32(0, true),
      size = this.is64 ? Number(view.getBigUint64(8, true)) : view.getUint32(4, true),
      options = { maxOutputLength: Math.max(1, size) };
    this.inflated += size;
    if (this.inflated > MAX_INFLATED_BYTES)
      throw new DebugFileError(`the compressed sections exceed ${MAX_INFLATED_BYTES} bytes`);
    try {
      if (kind === 1) return inflateSync(raw.subarray(head), options);
      if (kind === 2) return zstdDecompressSync(raw.subarray(head), options);
    } catch (err) {
      throw new DebugFileError(`section ${s.name}: ${(err as Error).message}`);
    }
    throw new DebugFileError(`section ${s.name} uses the unknown compression type ${kind}`);
  }

  /**
   * GNU's build ID in hex; "" without one. A note is: size of the name <4b>, size of the content <4b>, type
   * <4b>, name, content, each padded to a multiple of 4; the ID's name is "GNU\0" and its type 3.
   */
  get buildId(): string {
    for (const s of this.sections) {
      if (s.type !== SHT_NOTE) continue;
      const bytes = this.raw(s),
        view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let at = 0; at + 12 <= bytes.length; ) {
        const names = view.getUint32(at, true),
          size = view.getUint32(at + 4, true),
          type = view.getUint32(at + 8, true),
          from = at + 12 + ((names + 3) & ~3);
        if (type === NT_GNU_BUILD_ID && names === 4 && from + size <= bytes.length)
          return Buffer.from(bytes.subarray(from, from + size)).toString("hex");
        at = from + ((size + 3) & ~3);
        if (at <= 0 || names > bytes.length || size > bytes.length) break;
      }
    }
    return "";
  }

  /** The lowest mapped address, the base of relative addresses in tables. */
  get base(): bigint {
    return this.segments.reduce(
      (low, s) => (s.address < low ? s.address : low),
      this.segments[0]?.address ?? 0n,
    );
  }
  /** The first address after the mapped parts, relative to `base`. */
  get span(): number {
    const { base } = this;
    return Number(
      this.segments.reduce((high, s) => {
        const end = s.address + s.memorySize - base;
        return end > high ? end : high;
      }, 0n),
    );
  }
}
