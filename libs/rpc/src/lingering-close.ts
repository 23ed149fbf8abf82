import type { IncomingMessage, ServerResponse } from "node:http";

/**
 * Keeps the connection of an HTTP/1.1 request with `Connection: close` open until its body has arrived. Node
 * closes such a connection right after the answer. If the server then refuses a body that the client is
 * still sending, the kernel resets the connection, and the client sees EPIPE instead of the answer. The
 * read and idle timeouts of the port close a connection whose body never ends.
 */
export function closeAfterBody(req: IncomingMessage, res: ServerResponse): void {
  if (req.httpVersionMajor !== 1 || res.shouldKeepAlive) return;
  const { headers } = req;
  if (headers["content-length"] === undefined && headers["transfer-encoding"] === undefined) return;
  res.shouldKeepAlive = true;
  let open = 2;
  const ended = (): void => {
    if (--open === 0) req.socket.end();
  };
  req.once("end", ended);
  res.once("finish", ended);
}
