import type {
  DescMessage,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { CinderblockError } from "@cinderblock/errors";
import type { FastifyReply, FastifyRequest } from "fastify";
import { acceptRawBodies } from "./body.ts";
import { decodeBody, encodeParts } from "./internal-codec.ts";
import { internalError } from "./internal-errors.ts";
import { recordFailure } from "./request-failure.ts";
import type { Routes } from "./server.ts";

/** Content type of a unary Connect message. */
export const PROTO = "application/proto";
export const TIMEOUT_HEADER = "connect-timeout-ms";

/**
 * Implementation of a service for other processes of the cluster. `signal` aborts when the caller has left or
 * its deadline has passed.
 */
export type InternalHandlers<S extends DescService> = {
  readonly [K in keyof S["method"]]: S["method"][K] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, signal: AbortSignal) => Promise<MessageInitShape<O>>
    : never;
};
type Handler = (request: object, signal: AbortSignal) => Promise<MessageInitShape<DescMessage>>;

/** Answers a failed call between processes. */
export async function sendInternalError(
  request: FastifyRequest,
  reply: FastifyReply,
  err: unknown,
): Promise<void> {
  recordFailure(request.raw, err);
  const { status, body } = internalError(err);
  await reply.code(status).type("application/json").send(body);
}

/** Routes of a service for other processes: the Connect protocol, unary, uncompressed protobuf messages. */
export function internalService<S extends DescService>(service: S, handlers: InternalHandlers<S>): Routes {
  return {
    http: (app) => {
      acceptRawBodies(app, { ...app.internalBodies, waits: true });
      app.setErrorHandler((err, request, reply) => sendInternalError(request, reply, err));
      for (const method of service.methods) {
        const handler = handlers[method.localName as keyof typeof handlers] as Handler;
        app.post(`/${service.typeName}/${method.name}`, async (request, reply) => {
          const { signal, clear } = abortOf(request, reply);
          try {
            const message = decodeBody(method.input, request.body as Uint8Array | undefined);
            const parts = encodeParts(method.output, await handler(message, signal));
            const answer = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
            await reply
              .code(200)
              .type(PROTO)
              .send(Buffer.from(answer.buffer, answer.byteOffset, answer.length));
          } catch (err) {
            await sendInternalError(request, reply, err);
          } finally {
            clear();
          }
        });
      }
    },
  };
}

/** Reasons of an abort: without one, every abort would create an exception with its stack. */
const LATE = new CinderblockError("deadline", "context deadline exceeded"),
  LEFT = new CinderblockError("canceled", "context canceled");

/** Signal that aborts when the caller leaves or its deadline passes. */
function abortOf(request: FastifyRequest, reply: FastifyReply): { signal: AbortSignal; clear: () => void } {
  const abort = new AbortController(),
    timeout = Number(request.headers[TIMEOUT_HEADER] ?? 0);
  const timer = timeout > 0 ? setTimeout(() => abort.abort(LATE), Math.min(timeout, 0x7fffffff)) : undefined;
  const clear = (): void => clearTimeout(timer);
  reply.raw.on("close", () => {
    clear();
    if (!reply.raw.writableFinished) abort.abort(LEFT);
  });
  return { signal: abort.signal, clear };
}
