import type { ByteWriter } from "@cinderblock/bytes";

/** Writes a varint field of a message; 0 is the default and takes no bytes. */
export function writeVarintField(out: ByteWriter, field: number, value: bigint): void {
  if (value === 0n) return;
  out.u8(field * 8);
  out.uvarint64(value);
}
