import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Compression, initSync, Table, writeParquet, WriterPropertiesBuilder } from "parquet-wasm/esm";

/** The build puts the library's module next to the code; a checkout has it in the installed package. */
const beside = new URL("./parquet.wasm", import.meta.url);
initSync({
  module: readFileSync(
    existsSync(beside)
      ? beside
      : createRequire(import.meta.url).resolve("parquet-wasm/esm/parquet_wasm_bg.wasm"),
  ),
});

/**
 * Converts an Arrow IPC stream to a Parquet file with zstd compression. Both are in memory at once, and once
 * more in the WebAssembly module. Runs synchronously on the calling thread.
 * @throws Error of the module for bytes that are not an Arrow stream
 */
export function toParquet(stream: Uint8Array): Uint8Array {
  return writeParquet(
    Table.fromIPCStream(stream),
    new WriterPropertiesBuilder().setCompression(Compression.ZSTD).build(),
  );
}
