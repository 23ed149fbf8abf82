import { readDebugFile } from "@cinderblock/native-symbols";
import type { ConvertCall, Converted } from "./reader-protocol.ts";

/** Converts a debug file to its table. @throws DebugFileError */
export function convert({ bytes, buildId }: ConvertCall): Converted {
  const { buildId: own, table } = readDebugFile(bytes);
  return { buildId: own || buildId, functions: table.functions, table: table.encode() };
}
