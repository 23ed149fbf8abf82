import type { IncomingMessage } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import { CinderblockError } from "@cinderblock/errors";
import type { BodyBudget, BodyTicket } from "./body-budget.ts";
import { toConnectError } from "./edge.ts";

/** Reserved at once of what the headers promise; more, chunk by chunk. */
const AHEAD_BYTES = 4 << 20;

/**
 * A hook for the routes of the Connect library, which reads bodies itself: it gets them chunk by chunk, each reserved
 * before it is held. A refusal is answered in the protocol of the call.
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
    // The connection outlives a body that is refused: the answer goes over it.
    for await (const chunk of raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      ticket.grow((size += chunk.length));
      yield chunk;
    }
  } catch (err) {
    throw err instanceof CinderblockError ? toConnectError(err) : err;
  }
}
