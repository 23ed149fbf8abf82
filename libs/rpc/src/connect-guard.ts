import { Code, ConnectError } from "@connectrpc/connect";
import type { FastifyReply, FastifyRequest } from "fastify";
import { contentCoding } from "./content-coding.ts";
import { mediaType } from "./media-type.ts";
import { unsupportedType } from "./raw-unary.ts";
import { recordFailure } from "./request-failure.ts";

/** Media types of Connect, gRPC and gRPC-web. */
const PROTOCOL_TYPE = /^application\/(json|proto|connect\+\w+|grpc(-web(-text)?)?(\+\w+)?)$/;
const PROCEDURE = /^\/[a-z][a-z0-9_.]*\.[A-Z][A-Za-z0-9]*\/[A-Z][A-Za-z0-9]*$/;

/**
 * Checks of the Connect protocol that v1's server makes before it reads a message; the router makes the other
 * checks.
 */
export async function connectGuard(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (request.method !== "POST" || !PROCEDURE.test(request.routeOptions.url ?? "")) return;
  const { headers } = request;
  const type = headers["content-type"];
  if (type === undefined || type === "") {
    recordFailure(request.raw, unsupportedType(type));
    await reply.code(415).send();
    return;
  }
  // Parameters and letter case have no meaning (RFC 9110), but the router's protocols compare whole headers.
  const media = mediaType(type);
  if (PROTOCOL_TYPE.test(media)) headers["content-type"] = media;
  if (media !== "application/json" && media !== "application/proto") return;
  const refuse = async (status: number, code: string, message: string): Promise<void> => {
    recordFailure(
      request.raw,
      new ConnectError(
        message,
        status === 504 ? Code.DeadlineExceeded : status === 501 ? Code.Unimplemented : Code.InvalidArgument,
      ),
    );
    await reply.code(status).type("application/json").send(JSON.stringify({ code, message }));
  };
  const version = headers["connect-protocol-version"];
  if (version !== undefined && version !== "1") {
    await refuse(400, "invalid_argument", `Connect-Protocol-Version must be "1": got "${String(version)}"`);
    return;
  }
  const encoding = headers["content-encoding"];
  if (encoding !== undefined) {
    const coding = contentCoding(encoding);
    if (coding !== "identity" && coding !== "gzip") {
      await refuse(501, "unimplemented", `unknown compression "${encoding}": supported encodings are gzip`);
      return;
    }
    headers["content-encoding"] = coding;
  }
  if (headers["connect-timeout-ms"] === "0")
    await refuse(504, "deadline_exceeded", "context deadline exceeded");
}
