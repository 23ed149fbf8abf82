import { isUtf8 } from "node:buffer";
import { decodeUtf8 } from "@cinderblock/bytes";
import { invalidError } from "@cinderblock/errors";
import type { PprofTables } from "@cinderblock/pprof";

/** Text of a string index; "" for an index out of range. */
export function stringAt(t: PprofTables, index: number): string {
  return index < t.strings ? decodeUtf8(t.bytes, t.stringStart.data[index]!, t.stringEnd.data[index]!) : "";
}

/**
 * Checks the bytes of a name that a client sent.
 * @throws `invalid` for bytes that are not UTF-8: replaced characters would make another name
 */
export function checkName(bytes: Uint8Array, from: number, end: number): void {
  let bits = 0;
  for (let i = from; i < end; i++) bits |= bytes[i]!;
  if (bits < 128) return;
  const view = bytes.subarray(from, end);
  if (isUtf8(view)) return;
  throw invalidError(
    `invalid utf8 string hex: ${Buffer.from(view).toString("hex").slice(0, 200)}`,
    "malformed_profile",
  );
}

/**
 * Frames of the folded stack in `bytes[from, end)`, root first. As in v1, an empty frame at the end is no frame.
 * @throws `invalid` for bytes that are not UTF-8
 */
export function foldedFrames(bytes: Uint8Array, from: number, end: number): string[] {
  checkName(bytes, from, end);
  const frames = decodeUtf8(bytes, from, end).split(";");
  if (frames.at(-1) === "") frames.pop();
  return frames;
}
