import type { FastifyReply, FastifyRequest } from "fastify";

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
    await reply.code(415).send();
    return;
  }
  if (!/^application\/(json|proto)\s*(;|$)/.test(type)) return;
  const refuse = async (status: number, code: string, message: string): Promise<void> => {
    await reply.code(status).type("application/json").send(JSON.stringify({ code, message }));
  };
  const version = headers["connect-protocol-version"];
  if (version !== undefined && version !== "1") {
    await refuse(400, "invalid_argument", `Connect-Protocol-Version must be "1": got "${String(version)}"`);
    return;
  }
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding !== "" && encoding !== "identity" && encoding !== "gzip") {
    await refuse(501, "unimplemented", `unknown compression "${encoding}": supported encodings are gzip`);
    return;
  }
  if (headers["connect-timeout-ms"] === "0")
    await refuse(504, "deadline_exceeded", "context deadline exceeded");
}
