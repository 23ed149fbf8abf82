import { crc32c } from "@cinderblock/bytes";

/**
 * Recomputes the checksums of sections, series and table of contents from the current bytes, as far as they
 * can be found.
 */
export function repaired(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fix = (at: number, size: number): void => {
    if (at >= 0 && size >= 0 && at + size + 4 <= bytes.length)
      view.setUint32(at + size, crc32c(bytes, at, at + size));
  };
  const toc = bytes.length - 76;
  if (toc < 0) return bytes;
  const section = (at: number): void => {
    if (at + 4 <= bytes.length) fix(at + 4, view.getUint32(at));
  };
  const at = (i: number): number => Number(view.getBigUint64(toc + 8 * i));
  for (let i = 0; i < 6; i++) section(at(i));
  // Series start at multiples of 16, each after its length.
  for (
    let p = Math.ceil(at(1) / 16) * 16;
    p > 0 && p < Math.min(at(2), bytes.length);
    p = Math.ceil((p + 5 + bytes[p]!) / 16) * 16
  )
    fix(p + 1, bytes[p]!);
  section(at(3));
  fix(toc, 72);
  return bytes;
}
