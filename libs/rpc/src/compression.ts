import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";
import type { Compression } from "@connectrpc/connect/protocol";
import { compressionGzip } from "@connectrpc/connect-node";

const compress = promisify(gzip);

/** gzip at its fastest level: flame graphs shrink nearly as much as at the default one, in a quarter of the time. */
export const fastGzip: Compression = {
  ...compressionGzip,
  compress: (bytes: Uint8Array) => compress(bytes, { level: constants.Z_BEST_SPEED }) as Promise<Uint8Array<ArrayBuffer>>,
};
