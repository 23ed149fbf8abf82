import type { IncomingMessage, ServerResponse } from "node:http";
import { BodyCollector, type RawBodyOptions } from "./body.ts";
import type { BodyTicket } from "./body-budget.ts";
import { CinderblockError } from "@cinderblock/errors";
import { connectError, type RawHandler } from "./raw-unary.ts";
import type { ObservedRequest } from "./request-observer.ts";
import { recordFailure } from "./request-failure.ts";

/** A unary method that receives thousands of calls a second. */
export interface DirectUnary extends RawBodyOptions {
  path: string;
  handler: RawHandler;
}

const ANSWER_HEADERS = [
  "content-type",
  "application/proto",
  "accept-encoding",
  "gzip",
  "content-length",
  "0",
];

/**
 * Answers the plain case of a unary method without a router: Connect, protobuf, uncompressed, with a known
 * length, over HTTP/1.1. Returns false for other cases, which the router's route handles. Statuses, headers
 * and texts equal those of that route (`rawUnary`). The router took a fifth of the main thread's time for a
 * push, and half a second to compile.
 */
export function answerDirectly(
  direct: DirectUnary,
  req: IncomingMessage,
  res: ServerResponse,
  begin: () => ObservedRequest,
): boolean {
  const { headers } = req;
  if (
    req.httpVersionMajor !== 1 ||
    req.method !== "POST" ||
    headers["content-type"] !== "application/proto" ||
    headers["content-encoding"] !== undefined ||
    headers["connect-timeout-ms"] !== undefined
  )
    return false;
  const version = headers["connect-protocol-version"];
  if (version !== undefined && version !== "1") return false;
  const length = Number(headers["content-length"] ?? -1);
  if (!(length > 0 && length <= direct.limitBytes)) return false;

  const { span, end } = begin();
  const fail = (err: unknown): void => {
    const { status, headers: more, body } = connectError(req, err);
    res
      .writeHead(status, {
        ...more,
        "accept-encoding": "gzip",
        "content-type": "application/json",
        "content-length": body.length,
      })
      .end(body);
    end(status);
  };
  let ticket: BodyTicket;
  try {
    direct.admit?.();
    ticket = direct.budget.reserve(length);
  } catch (err) {
    req.resume();
    fail(err);
    return true;
  }
  const collected = new BodyCollector(length);
  req.on("data", (chunk: Buffer) => collected.add(chunk));
  req.on("error", (err) => {
    ticket.release();
    recordFailure(req, new CinderblockError("canceled", `the client disconnected: ${err.message}`));
    end(undefined);
    res.destroy(err);
  });
  req.on("end", () => {
    const call = { codec: "proto", gzip: false, body: collected.finish(), headers, ticket } as const;
    // The body arrives by events, which lose the span.
    (span ? span.run(() => direct.handler(call)) : direct.handler(call))
      .then((out) => {
        if (out.length === 0) res.writeHead(200, ANSWER_HEADERS).end();
        else
          res
            .writeHead(200, {
              "content-type": "application/proto",
              "accept-encoding": "gzip",
              "content-length": out.length,
            })
            .end(out);
        end(200);
      })
      .catch(fail)
      .finally(() => ticket.release());
  });
  return true;
}
