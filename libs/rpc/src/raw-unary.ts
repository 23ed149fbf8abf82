import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Code } from "@connectrpc/connect";
import { codeName, ERROR_CODES, errorHeaders } from "./error-codes.ts";
import { CinderblockError, kindOf, messageOf } from "@cinderblock/errors";
import type { BodyTicket } from "./body-budget.ts";
import { contentCoding } from "./content-coding.ts";
import { mediaType } from "./media-type.ts";
import { recordFailure } from "./request-failure.ts";

/** A call whose request message stays encoded: the handler decodes it. */
export interface RawCall {
  codec: "proto" | "json";
  gzip: boolean;
  body: Uint8Array;
  headers: FastifyRequest["headers"];
  /** reservation of the body until the answer; a handler that uses the body afterwards retains it */
  ticket: BodyTicket | undefined;
}
/** Returns the encoded response message in the call's codec. */
export type RawHandler = (call: RawCall) => Promise<Uint8Array>;

/**
 * Serves a unary method over Connect, gRPC and gRPC-web without message objects. Statuses and texts follow
 * the Connect protocol. An unsupported content type is 415 without a body, a method other than POST is 405.
 */
export function rawUnary(app: FastifyInstance, path: string, handler: RawHandler): void {
  app.all(path, async (request, reply) => {
    if (request.method !== "POST") {
      await reply.code(405).header("allow", "POST").send();
      return;
    }
    const type = mediaType(request.headers["content-type"]);
    const m = /^application\/(?:(grpc-web|grpc)(?:\+(proto|json))?|(proto|json))$/.exec(type);
    if (!m) {
      recordFailure(request.raw, unsupportedType(request.headers["content-type"]));
      await reply.code(415).send();
      return;
    }
    const body = (request.body as Uint8Array | undefined) ?? new Uint8Array(0);
    const codec = (m[2] ?? m[3] ?? "proto") as "proto" | "json";
    if (m[1] === undefined) await connectUnary(request, reply, codec, body, handler);
    else await grpcUnary(request, reply, m[1] === "grpc-web", type, codec, body, handler);
  });
}

/** Error of a request whose content type no protocol of the route has; the answer has no body. */
export function unsupportedType(type: string | undefined): CinderblockError {
  return new CinderblockError("invalid", `unsupported content type ${JSON.stringify(type ?? "")}`);
}

function gzipOf(encoding: string | undefined): boolean {
  const coding = contentCoding(encoding);
  if (coding === "identity") return false;
  if (coding === "gzip") return true;
  throw new CinderblockError(
    "unimplemented",
    `unknown compression "${encoding}": supported encodings are gzip`,
  );
}

/**
 * Answer of a unary Connect call to the error that its raw request ends with; the body is bytes, so that no
 * router adds a charset.
 */
export function connectError(
  request: object,
  err: unknown,
): { status: number; headers: Record<string, string>; body: Buffer } {
  recordFailure(request, err);
  const { code, http } = ERROR_CODES[kindOf(err)];
  return {
    status: http === 413 ? 429 : http,
    headers: errorHeaders(err),
    body: Buffer.from(JSON.stringify({ code: codeName(code), message: messageOf(err) })),
  };
}

async function connectUnary(
  request: FastifyRequest,
  reply: FastifyReply,
  codec: "proto" | "json",
  body: Uint8Array,
  handler: RawHandler,
): Promise<void> {
  void reply.header("accept-encoding", "gzip");
  try {
    const version = request.headers["connect-protocol-version"];
    if (version !== undefined && version !== "1")
      throw new CinderblockError("invalid", `Connect-Protocol-Version must be "1": got "${String(version)}"`);
    const timeout = request.headers["connect-timeout-ms"];
    if (timeout !== undefined && !/^\d{1,10}$/.test(String(timeout)))
      throw new CinderblockError(
        "invalid",
        `parse timeout: ${JSON.stringify(timeout)} is not a number of milliseconds`,
      );
    if (timeout !== undefined && Number(timeout) === 0)
      throw new CinderblockError("deadline", "context deadline exceeded");
    const out = await handler({
      codec,
      gzip: gzipOf(request.headers["content-encoding"]),
      body,
      headers: request.headers,
      ticket: request.bodyTicket,
    });
    await reply
      .code(200)
      .header("content-type", `application/${codec}`)
      .send(Buffer.from(out.buffer, out.byteOffset, out.length));
  } catch (err) {
    const { status, headers, body } = connectError(request.raw, err);
    await reply.code(status).headers(headers).header("content-type", "application/json").send(body);
  }
}

async function grpcUnary(
  request: FastifyRequest,
  reply: FastifyReply,
  web: boolean,
  type: string,
  codec: "proto" | "json",
  body: Uint8Array,
  handler: RawHandler,
): Promise<void> {
  let status: Code | 0 = 0,
    message = "",
    out: Uint8Array | undefined;
  try {
    if (request.bodyRefusal !== undefined) throw request.bodyRefusal;
    if (body.length < 5) throw new CinderblockError("invalid", "protocol error: incomplete envelope");
    const size = new DataView(body.buffer, body.byteOffset).getUint32(1);
    if (size !== body.length - 5)
      throw new CinderblockError(
        "invalid",
        `protocol error: the envelope promises ${size} bytes, found ${body.length - 5}`,
      );
    const encoding = request.headers["grpc-encoding"];
    const gzip = (body[0]! & 1) === 1 && gzipOf(typeof encoding === "string" ? encoding : undefined);
    out = await handler({
      codec,
      gzip,
      body: body.slice(5),
      headers: request.headers,
      ticket: request.bodyTicket,
    });
  } catch (err) {
    recordFailure(request.raw, err);
    status = ERROR_CODES[kindOf(err)].code;
    message = messageOf(err);
  }
  const encoded = message.replace(/[^\x20-\x24\x26-\x7e]/gu, (c) =>
    [...Buffer.from(c)].map((b) => `%${b.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
  reply.hijack();
  const { raw } = reply;
  raw.setHeader("content-type", type);
  raw.statusCode = 200;
  const frame = out ? Buffer.concat([Buffer.of(0, 0, 0, 0, 0), out]) : Buffer.alloc(0);
  if (out) frame.writeUInt32BE(out.length, 1);
  if (web) {
    const trailer = Buffer.from(
      `grpc-status: ${status}\r\n${status === 0 ? "" : `grpc-message: ${encoded}\r\n`}`,
    );
    const head = Buffer.of(0x80, 0, 0, 0, 0);
    head.writeUInt32BE(trailer.length, 1);
    raw.end(Buffer.concat([frame, head, trailer]));
    return;
  }
  // HTTP/2 sends trailers after the body; HTTP/1.1 announces them.
  if (request.raw.httpVersionMajor < 2) raw.setHeader("trailer", "grpc-status, grpc-message");
  raw.write(frame);
  raw.addTrailers({ "grpc-status": String(status), ...(status === 0 ? {} : { "grpc-message": encoded }) });
  raw.end();
}
