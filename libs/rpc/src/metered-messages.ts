import type { IncomingMessage } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import { CinderblockError } from "@cinderblock/errors";
import type { BodyBudget, BodyTicket } from "./body-budget.ts";
import { toConnectError } from "./error-codes.ts";
import { recordFailure } from "./request-failure.ts";

/** Maximum bytes to reserve at once by content length; the rest is reserved chunk by chunk. */
const AHEAD_BYTES = 4 << 20;

/**
 * Hook for routes of the Connect library, which reads bodies itself: passes the body chunk by chunk, each
 * reserved before it is held. Answers a refusal in the protocol of the call.
 */
export function meteredMessages(
  budget: BodyBudget,
): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  return (request, reply) => {
    if (request.method !== "GET" && request.body === undefined) {
      let ticket: BodyTicket | undefined;
      reply.raw.once("close", () => ticket?.release());
      const length = Number(request.headers["content-length"] ?? 0);
      request.body = chunks(request.raw, () => (ticket ??= budget.reserve(Math.min(length, AHEAD_BYTES))));
    }
    return Promise.resolve();
  };
}

async function* chunks(raw: IncomingMessage, reserve: () => BodyTicket): AsyncIterable<Uint8Array> {
  try {
    const ticket = reserve();
    let size = 0;
    // The connection must outlive a refused body, because it carries the answer.
    for await (const chunk of raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      ticket.grow((size += chunk.length));
      yield chunk;
    }
  } catch (err) {
    recordFailure(raw, err);
    throw err instanceof CinderblockError ? toConnectError(err) : err;
  }
}
