import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";

/** Prefix of the Connect library's error text for a message that is not protobuf. */
const UNREADABLE = "parse binary: ";

/**
 * Corrects the answer to an undecodable message, which is the caller's mistake. The Connect library answers
 * `internal`, status 500; v1 answers `invalid_argument`, 400. Both answer `internal` in gRPC.
 */
export function correctParseErrors(router: ConnectRouter): void {
  router.handlers.forEach((handler, i) => {
    const mended: typeof handler = Object.assign(async (request: Parameters<typeof handler>[0]) => {
      const response = await handler(request);
      // The library prints every failed write to the console; a caller that left is no failure.
      if (request.signal.aborted) throw new ConnectError("the client disconnected", Code.Aborted);
      if (
        response.status !== 500 ||
        response.body === undefined ||
        response.header?.get("content-type") !== "application/json"
      )
        return response;
      const parts: Uint8Array[] = [];
      for await (const part of response.body) parts.push(part);
      const text = Buffer.concat(parts).toString(),
        { code, message } = JSON.parse(text) as { code?: string; message?: string };
      const unreadable = code === "internal" && message?.startsWith(UNREADABLE) === true;
      return {
        ...response,
        status: unreadable ? 400 : 500,
        body: once(
          Buffer.from(
            unreadable
              ? JSON.stringify({
                  code: "invalid_argument",
                  message: `unmarshal message: ${message.slice(UNREADABLE.length)}`,
                })
              : text,
          ),
        ),
        ...lengthOf(response.header),
      };
    }, handler);
    router.handlers[i] = mended;
  });
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** A copy of the headers without the old body's length. */
function lengthOf(header: Headers): { header: Headers } {
  const out = new Headers(header);
  out.delete("content-length");
  return { header: out };
}
