import { decodeUtf8 } from "@cinderblock/bytes";
import type { PprofTables } from "@cinderblock/pprof";

/** Text of a string index; "" for an index out of range. */
export function stringAt(t: PprofTables, index: number): string {
  return index < t.strings ? decodeUtf8(t.bytes, t.stringStart.data[index]!, t.stringEnd.data[index]!) : "";
}
