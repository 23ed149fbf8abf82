/** `path`: target of the table, without its extension. */
interface FetchCall {
  path: string;
  buildId: string;
  urls: readonly string[];
  maxFileBytes: number;
  timeoutMs: number;
  diskBytes: number;
  absentMs: number;
}
/** `buildId`: for a file without a build ID of its own. */
export interface ConvertCall {
  bytes: Uint8Array;
  buildId: string;
}
/** A converted debug file: its build ID, its number of functions, and its encoded table. */
export interface ConvertedFile {
  buildId: string;
  functions: number;
  table: Uint8Array;
}

/** Methods of the thread that reads debug files. */
export interface ReaderMethods {
  /** Writes the table of a file from a server, or a mark that no server has it. */
  fetch(call: FetchCall): Promise<void>;
  convert(call: ConvertCall): ConvertedFile;
}
