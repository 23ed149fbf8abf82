import { readDebugFile } from "@cinderblock/native-symbols";
import type { ConvertCall, ConvertedFile } from "./reader-protocol.ts";

/** Converts a debug file to its table. @throws DebugFileError */
export function convertDebugFile({ bytes, buildId }: ConvertCall): ConvertedFile {
  const { buildId: own, table } = readDebugFile(bytes);
  return { buildId: own || buildId, functions: table.functions, table: table.encode() };
}
