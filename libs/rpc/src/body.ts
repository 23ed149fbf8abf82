import type { FastifyInstance } from "fastify";
import { CinderblockError } from "@cinderblock/errors";
import { releasedBytes } from "@cinderblock/threads";
import type { BodyBudget, BodyTicket } from "./body-budget.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** what the body of this request holds of its budget; whoever uses the body after the answer retains it */
    bodyTicket?: BodyTicket;
    /** why the body of this gRPC call was refused: its answer has a form of its own */
    bodyRefusal?: unknown;
  }
}

export interface RawBodyOptions {
  limitBytes: number;
  budget: BodyBudget;
  /** may refuse a request with a body before any of it is read */
  admit?: () => void;
  /** a body without room waits, unread, instead of being refused: for callers that are processes of the same cluster */
  waits?: boolean;
  /** only what has come is reserved, not the length that the headers promise: for few and large bodies */
  asReceived?: boolean;
}

const NONE = new Uint8Array(0);

function tooLarge(bytes: number, limitBytes: number): CinderblockError {
  return new CinderblockError("too-large", `request body is ${bytes} bytes; the limit is ${limitBytes}`, {
    reason: "body_size_limit_exceeded",
  });
}

/**
 * Request bodies as bytes. A body by its length, or by its chunks where it names none, is reserved in `budget` before it
 * is held, and refused beyond `limitBytes`.
 */
export function acceptRawBodies(app: FastifyInstance, options: RawBodyOptions): void {
  const { limitBytes, budget, admit } = options;
  app.removeAllContentTypeParsers();
  app.addHook("onRequest", (request, reply, done) => {
    reply.raw.once("close", () => request.bodyTicket?.release());
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
        releasedBytes(body.size);
        done(null, body.finish());
        return;
      }
      // What still comes is thrown away.
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
          new CinderblockError("invalid", `request body could not be read: ${err.message}`, { cause: err }),
        ),
      );
    };
    try {
      if (length > limitBytes) throw tooLarge(length, limitBytes);
      if (length !== 0) admit?.();
      const first = options.asReceived === true ? 0 : Math.max(0, length);
      if (options.waits !== true) read(budget.reserve(first));
      else {
        const gone = new AbortController();
        request.raw.once("close", () => gone.abort());
        budget.acquire(first, gone.signal).then(read, end);
      }
    } catch (err) {
      end(err);
    }
  });
}

/** Bodies above it are written where they stay; smaller ones are joined from their chunks. */
const PLACED_BYTES = 1 << 20;

/** Collects the chunks of one body: a large one of known length is held once, not as chunks and as a whole. */
export class BodyCollector {
  size = 0;
  private readonly chunks: Buffer[] = [];
  private readonly placed: Uint8Array | undefined;

  /** @param length that the headers promise; -1: none */
  constructor(length: number) {
    // Memory that nothing was written to takes no room yet.
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

/** In a buffer of its own, so that it can move to another thread. */
function joined(chunks: readonly Buffer[], size: number): Uint8Array {
  const out = new Uint8Array(size);
  let at = 0;
  for (const c of chunks) {
    out.set(c, at);
    at += c.length;
  }
  return out;
}
