import type { FastifyInstance } from "fastify";
import { CinderblockError } from "@cinderblock/errors";
import { noteReleasedBytes } from "@cinderblock/threads";
import type { BodyBudget, BodyTicket } from "./body-budget.ts";
import { mediaType } from "./media-type.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** reservation of the request body; code that uses the body after the answer retains it */
    bodyTicket?: BodyTicket;
    /** error of a refused body of a gRPC call, whose answer has a special form */
    bodyRefusal?: unknown;
  }
}

/** Limits and admission of request bodies. */
export interface RawBodyOptions {
  limitBytes: number;
  budget: BodyBudget;
  /** may refuse a request before its body is read */
  admit?: () => void;
  /** a body without room waits unread instead of being refused: for callers in the same cluster */
  waits?: boolean;
  /** reserve only received bytes instead of the length in the headers: for few, large bodies */
  asReceived?: boolean;
}

const NONE = new Uint8Array(0);
/** Reason of an abort: without one, every abort would create an exception with its stack. */
const GONE = new CinderblockError("canceled", "context canceled");

function tooLarge(bytes: number, limitBytes: number): CinderblockError {
  return new CinderblockError("too-large", `request body is ${bytes} bytes; the limit is ${limitBytes}`, {
    reason: "body_size_limit_exceeded",
    detail: { bytes, limit: limitBytes },
  });
}

/**
 * Reads request bodies as bytes. Each body is reserved in `budget` before it is read, by its length or,
 * without a length, by its chunks. Refuses bodies beyond `limitBytes`.
 */
export function acceptRawBodies(app: FastifyInstance, options: RawBodyOptions): void {
  const { limitBytes, budget, admit } = options;
  app.removeAllContentTypeParsers();
  app.addHook("onRequest", (request, reply, done) => {
    reply.raw.once("close", () => request.bodyTicket?.release());
    // The framework refuses a malformed content type before a route sees it; here each route decides.
    const { headers } = request;
    if (headers["content-type"] !== undefined && mediaType(headers["content-type"]) === "")
      delete headers["content-type"];
    done();
  });
  app.addContentTypeParser("*", (request, payload, done) => {
    const length = Number(request.headers["content-length"] ?? -1),
      body = new BodyCollector(length);
    let over = false;
    const end = (err: unknown): void => {
      if (over) return;
      over = true;
      if (err === undefined) {
        noteReleasedBytes(body.size);
        done(null, body.finish());
        return;
      }
      // Discard the rest of the body.
      payload.removeAllListeners("data");
      payload.resume();
      if ((request.headers["content-type"] ?? "").startsWith("application/grpc")) {
        request.bodyRefusal = err;
        done(null, NONE);
      } else done(err as Error);
    };
    const read = (ticket: BodyTicket): void => {
      request.bodyTicket = ticket;
      if (request.raw.destroyed) ticket.release();
      payload.on("data", (chunk: Buffer) => {
        try {
          if (body.size + chunk.length > limitBytes) throw tooLarge(body.size + chunk.length, limitBytes);
          ticket.grow(body.size + chunk.length);
          body.add(chunk);
        } catch (err) {
          end(err);
        }
      });
      payload.on("end", () => end(undefined));
      payload.on("error", (err: Error) =>
        end(
          new CinderblockError("invalid", `reading the request body failed: ${err.message}`, { cause: err }),
        ),
      );
    };
    try {
      if (length > limitBytes) throw tooLarge(length, limitBytes);
      if (length !== 0) admit?.();
      const first = options.asReceived === true ? 0 : Math.max(0, length);
      if (options.waits !== true) read(budget.reserve(first));
      else {
        const gone = new AbortController(),
          leave = (): void => gone.abort(GONE);
        request.raw.once("close", leave);
        budget
          .acquire(first, gone.signal)
          .finally(() => request.raw.off("close", leave))
          .then(read, end);
      }
    } catch (err) {
      end(err);
    }
  });
}

/** Bodies above this size are written into one buffer; smaller ones are joined from their chunks. */
const PLACED_BYTES = 1 << 20;

/** Collects the chunks of one body: a large body of known length exists once, not as chunks and as a copy. */
export class BodyCollector {
  size = 0;
  private readonly chunks: Buffer[] = [];
  private readonly placed: Uint8Array | undefined;

  /** @param length content length of the headers; -1: none */
  constructor(length: number) {
    // Unwritten memory of an allocation occupies no RAM yet.
    this.placed = length > PLACED_BYTES ? new Uint8Array(length) : undefined;
  }

  add(chunk: Buffer): void {
    if (this.placed) this.placed.set(chunk, this.size);
    else this.chunks.push(chunk);
    this.size += chunk.length;
  }

  finish(): Uint8Array {
    const { chunks, placed } = this;
    return placed ?? (chunks.length === 1 ? chunks[0]! : joined(chunks, this.size));
  }
}

/** Joins chunks in a buffer of its own, which can be transferred to another thread. */
function joined(chunks: readonly Buffer[], size: number): Uint8Array {
  const out = new Uint8Array(size);
  let at = 0;
  for (const c of chunks) {
    out.set(c, at);
    at += c.length;
  }
  return out;
}
