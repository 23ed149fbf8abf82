/** `path`: where the table goes, without its ending. */
export interface FetchCall {
  path: string;
  buildId: string;
  urls: readonly string[];
  maxFileBytes: number;
  timeoutMs: number;
  diskBytes: number;
  absentMs: number;
}
/** `buildId`: of a file that has none itself. */
export interface ConvertCall {
  bytes: Uint8Array;
  buildId: string;
}
export interface Converted {
  buildId: string;
  functions: number;
  table: Uint8Array;
}

/** Methods of the thread that reads debug files. */
export interface ReaderMethods {
  /** Writes the table of a file that a server has, or that none has it. */
  fetch(call: FetchCall): Promise<void>;
  convert(call: ConvertCall): Converted;
}
