import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Compression, initSync, Table, writeParquet, WriterPropertiesBuilder } from "parquet-wasm/esm";

/** The build puts the library's module beside the code; a checkout has it where it was installed. */
const beside = new URL("./parquet.wasm", import.meta.url);
initSync({
  module: readFileSync(
    existsSync(beside)
      ? beside
      : createRequire(import.meta.url).resolve("parquet-wasm/esm/parquet_wasm_bg.wasm"),
  ),
});

/** An Arrow IPC stream as a Parquet file, compressed with zstd. Both are in memory at once. */
export function toParquet(stream: Uint8Array): Uint8Array {
  return writeParquet(
    Table.fromIPCStream(stream),
    new WriterPropertiesBuilder().setCompression(Compression.ZSTD).build(),
  );
}
