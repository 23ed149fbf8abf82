import { I32Column } from "@cinderblock/columnar";
import { type ElfFile } from "./elf.ts";
import type { FunctionSet } from "./functions.ts";
import { readableName } from "./readable-name.ts";

const STT_FUNC = 2, STT_GNU_IFUNC = 10;

/** Functions of `.symtab`, or of `.dynsym` where that is all there is. Those without a size reach to the next one. Depth 0. */
export function readElfSymbols(elf: ElfFile, into: FunctionSet): void {
  const table = elf.find(".symtab") ?? elf.find(".dynsym"), strings = table && elf.sections[table.link];
  if (!table || !strings) return;
  const bytes = elf.bytesOf(table), names = elf.bytesOf(strings), view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), { base, is64 } = elf, size = is64 ? 24 : 16, span = elf.span;
  const starts: { at: number; size: number; name: number }[] = [];
  for (let p = 0; p + size <= bytes.length; p += size) {
    const info = bytes[p + (is64 ? 4 : 12)]!, type = info & 15, section = view.getUint16(p + (is64 ? 6 : 14), true);
    if ((type !== STT_FUNC && type !== STT_GNU_IFUNC) || section === 0) continue;
    const value = (is64 ? view.getBigUint64(p + 8, true) : BigInt(view.getUint32(p + 4, true))) - base, length = is64 ? Number(view.getBigUint64(p + 16, true)) : view.getUint32(p + 8, true);
    if (value < 0n || value >= BigInt(span)) continue;
    starts.push({ at: Number(value), size: length, name: view.getUint32(p, true) });
  }
  // Of several names at one address the one with a size, then the first, counts.
  starts.sort((a, b) => a.at - b.at || (b.size > 0 ? 1 : 0) - (a.size > 0 ? 1 : 0));
  const seen = new I32Column(1);
  seen.push(-1);
  for (let i = 0; i < starts.length; i++) {
    const s = starts[i]!;
    if (s.at === seen.data[0]) continue;
    seen.data[0] = s.at;
    let next = i + 1;
    while (next < starts.length && starts[next]!.at === s.at) next++;
    const end = Math.min(s.size > 0 ? s.at + s.size : Infinity, starts[next]?.at ?? (s.size > 0 ? s.at + s.size : span));
    const name = readableName(elf.text(names, s.name));
    if (name !== "") into.range(s.at, end, into.node(-1, into.func(into.string(name), 0, 0), 0), 0);
  }
}
