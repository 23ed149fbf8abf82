import type { FastifyInstance } from "fastify";
import { CinderblockError } from "@cinderblock/errors";
import { releasedBytes } from "@cinderblock/threads";

/**
 * Request bodies as bytes. `admit` may refuse a body by its length before any of it is held; a body without a length is
 * refused where the limit is passed.
 */
export function acceptRawBodies(
  app: FastifyInstance,
  limitBytes: number,
  admit: (bytes: number) => void,
): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (request, payload, done) => {
    const length = Number(request.headers["content-length"] ?? -1);
    const tooLarge = (n: number): CinderblockError =>
      new CinderblockError("too-large", `request body is ${n} bytes; the limit is ${limitBytes}`, {
        reason: "body_size_limit_exceeded",
      });
    if (length > limitBytes) {
      payload.resume();
      done(tooLarge(length));
      return;
    }
    // gRPC wants its answer in trailers: those bodies are refused where the call is handled.
    if (length > 0 && !(request.headers["content-type"] ?? "").startsWith("application/grpc")) {
      try {
        admit(length);
      } catch (err) {
        payload.resume();
        done(err as Error);
        return;
      }
    }
    const chunks: Buffer[] = [];
    let size = 0;
    payload.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > limitBytes) {
        payload.removeAllListeners("data");
        payload.resume();
        done(tooLarge(size));
        return;
      }
      chunks.push(chunk);
    });
    payload.on("end", () => {
      releasedBytes(size);
      done(null, chunks.length === 1 ? chunks[0] : joined(chunks, size));
    });
    payload.on("error", (err: Error) =>
      done(new CinderblockError("invalid", `request body could not be read: ${err.message}`, { cause: err })),
    );
  });
}

/** In a buffer of its own, so that it can move to another thread. */
export function joined(chunks: readonly Buffer[], size: number): Uint8Array {
  const out = new Uint8Array(size);
  let at = 0;
  for (const c of chunks) {
    out.set(c, at);
    at += c.length;
  }
  return out;
}
