import type { FastifyInstance } from "fastify";
import { CinderblockError } from "@cinderblock/errors";
import { releasedBytes } from "@cinderblock/threads";

/**
 * Request bodies as bytes in a buffer of their own, so that they can move to another thread. `admit` may refuse a body
 * by its length before any of it is held.
 */
export function acceptRawBodies(app: FastifyInstance, limitBytes: number, admit: (bytes: number) => void): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (request, payload, done) => {
    const length = Number(request.headers["content-length"] ?? -1);
    const tooLarge = (n: number): CinderblockError => new CinderblockError("too-large", `request body is ${n} bytes; the limit is ${limitBytes}`, { reason: "body_size_limit_exceeded" });
    if (length > limitBytes) { payload.resume(); done(tooLarge(length)); return; }
    // gRPC wants its answer in trailers: those bodies are refused where the call is handled.
    if (length > 0 && !(request.headers["content-type"] ?? "").startsWith("application/grpc")) {
      try { admit(length); } catch (err) { payload.resume(); done(err as Error); return; }
    }
    releasedBytes(Math.max(length, 0));
    let buffer = new Uint8Array(length >= 0 ? length : 64 << 10);
    let size = 0;
    payload.on("data", (chunk: Buffer) => {
      if (size + chunk.length > buffer.length) {
        if (size + chunk.length > limitBytes) { payload.removeAllListeners("data"); payload.resume(); done(tooLarge(size + chunk.length)); return; }
        const grown = new Uint8Array(Math.max(size + chunk.length, buffer.length * 2));
        grown.set(buffer.subarray(0, size));
        buffer = grown;
      }
      buffer.set(chunk, size);
      size += chunk.length;
    });
    payload.on("end", () => done(null, size === buffer.length ? buffer : buffer.slice(0, size)));
    payload.on("error", (err: Error) => done(new CinderblockError("invalid", `request body could not be read: ${err.message}`, { cause: err })));
  });
}
