import { isUtf8 } from "node:buffer";
import { decodeUtf8 } from "@cinderblock/bytes";
import { invalidError } from "@cinderblock/errors";
import type { PprofTables } from "@cinderblock/pprof";

/** Text of a string index; "" for an index out of range. */
export function stringAt(t: PprofTables, index: number): string {
  return index < t.strings ? decodeUtf8(t.bytes, t.stringStart.data[index]!, t.stringEnd.data[index]!) : "";
}

/**
 * Text of bytes that a client sent as a name.
 * @throws `invalid` for bytes that are not UTF-8: replaced characters would make another name
 */
export function nameOf(bytes: Uint8Array, from: number, end: number): string {
  const text = decodeUtf8(bytes, from, end);
  if (text.includes("\ufffd") && !isUtf8(bytes.subarray(from, end)))
    throw invalidError(
      `invalid utf8 string hex: ${Buffer.from(bytes.subarray(from, end)).toString("hex").slice(0, 200)}`,
      "malformed_profile",
    );
  return text;
}

/** Frames of a folded stack, root first. As in v1, an empty frame at the end is no frame. */
export function framesOf(stack: string): string[] {
  const frames = stack.split(";");
  if (frames.at(-1) === "") frames.pop();
  return frames;
}
