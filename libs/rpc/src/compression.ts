import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Compression } from "@connectrpc/connect/protocol";
import { compressionGzip } from "@connectrpc/connect-node";

const compress = promisify(gzip);

/**
 * gzip at its fastest level: flame graphs shrink nearly as much as at the default level, in a quarter of the
 * time.
 */
export const fastGzip: Compression = {
  ...compressionGzip,
  compress: (bytes: Uint8Array) =>
    compress(bytes, { level: constants.Z_BEST_SPEED }) as Promise<Uint8Array<ArrayBuffer>>,
};

/** Minimum size of a compressed answer, as in v1. */
export const COMPRESS_FROM_BYTES = 1400;

/** Whether a client accepts gzip, according to Accept-Encoding. */
export function acceptsGzip(request: FastifyRequest): boolean {
  return /(^|[\s,])(gzip|\*)\s*(;\s*q=(?!0(\.0*)?\s*(,|$))|,|$)/i.test(
    String(request.headers["accept-encoding"] ?? ""),
  );
}

/**
 * Hook of plain routes: compresses long answers for clients that accept that. Streams and compressed answers
 * stay unchanged.
 */
export async function compressResponse(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
): Promise<unknown> {
  const bytes =
    typeof payload === "string" ? Buffer.from(payload) : payload instanceof Uint8Array ? payload : undefined;
  if (!bytes || bytes.length < COMPRESS_FROM_BYTES || reply.hasHeader("content-encoding")) return payload;
  void reply.header("vary", "accept-encoding");
  if (!acceptsGzip(request)) return payload;
  const packed = await compress(bytes, { level: constants.Z_BEST_SPEED });
  void reply.header("content-encoding", "gzip").header("content-length", packed.length);
  return packed;
}
