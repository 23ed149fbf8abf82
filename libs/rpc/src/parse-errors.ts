import { Code, ConnectError, type ConnectRouter, createContextKey } from "@connectrpc/connect";
import { codeName } from "./error-codes.ts";
import { failureOf, recordFailure } from "./request-failure.ts";

/** Raw request of a call. */
export const RAW_REQUEST = createContextKey<object | undefined>(undefined);
/**
 * Whether a call reached its method. An `internal` error before that is a message that the Connect library
 * cannot decode.
 */
export const REACHED = createContextKey<boolean>(false);

/**
 * Corrects the answer to an undecodable message, which is the caller's mistake. The Connect library answers
 * `internal`, status 500; v1 answers `invalid_argument`, 400. Both answer `internal` in gRPC. Records the
 * errors that the library finds before it calls a method.
 */
export function correctParseErrors(router: ConnectRouter): void {
  router.handlers.forEach((handler, i) => {
    const mended: typeof handler = Object.assign(async (request: Parameters<typeof handler>[0]) => {
      const response = await handler(request);
      // The library prints every failed write to the console; a caller that left is no failure.
      if (request.signal.aborted) throw new ConnectError("the client disconnected", Code.Aborted);
      const raw = request.contextValues?.get(RAW_REQUEST),
        reached = request.contextValues?.get(REACHED) === true;
      if (raw && failureOf(raw) === undefined) {
        const status = Number(response.trailer?.get("grpc-status") ?? 0);
        if (status !== 0)
          recordFailure(raw, grpcError(status, response.trailer!.get("grpc-message") ?? "", reached));
        else if (response.status === 200 && response.body)
          return { ...response, body: withTrailerErrors(response.body, raw, reached) };
      } else if (response.status !== 500) return response;
      if (
        response.status < 400 ||
        response.body === undefined ||
        response.header?.get("content-type") !== "application/json" ||
        response.header.has("content-encoding")
      )
        return response;
      const parts: Uint8Array[] = [];
      for await (const part of response.body) parts.push(part);
      const text = Buffer.concat(parts).toString(),
        { code, message } = JSON.parse(text) as { code?: string; message?: string };
      const unreadable = response.status === 500 && code === "internal" && !reached;
      if (raw)
        recordFailure(raw, new ConnectError(message ?? "", unreadable ? Code.InvalidArgument : codeOf(code)));
      return {
        ...response,
        status: unreadable ? 400 : response.status,
        body: once(
          Buffer.from(
            unreadable
              ? JSON.stringify({
                  code: "invalid_argument",
                  message: `unmarshal message: ${(message ?? "").replace(/^parse binary: /, "")}`,
                })
              : text,
          ),
        ),
        ...(unreadable ? lengthOf(response.header) : {}),
      };
    }, handler);
    router.handlers[i] = mended;
  });
}

/** Code of a name in the Connect protocol. */
function codeOf(name: string | undefined): Code {
  return (
    Object.values(Code).find((c): c is Code => typeof c === "number" && codeName(c) === name) ?? Code.Unknown
  );
}

/** Error of a gRPC status; an undecodable message is the caller's mistake there, too. */
function grpcError(status: number, message: string, reached: boolean): ConnectError {
  const text = decodeURIComponent(message.replaceAll(/%(?![0-9A-Fa-f]{2})/g, "%25"));
  return new ConnectError(
    text,
    status === Number(Code.Internal) && !reached ? Code.InvalidArgument : (status as Code),
  );
}

/** Flag of the frame with gRPC-web's trailers. */
const TRAILER_FRAME = 0x80;

/** Passes a gRPC-web answer on, and records the error of its trailers. */
async function* withTrailerErrors(
  body: AsyncIterable<Uint8Array>,
  raw: object,
  reached: boolean,
): AsyncIterable<Uint8Array> {
  for await (const part of body) {
    if (part[0] === TRAILER_FRAME) {
      const trailers = Buffer.from(part.buffer, part.byteOffset + 5, part.length - 5).toString("latin1"),
        status = Number(/^grpc-status: *(\d+)/im.exec(trailers)?.[1] ?? 0);
      if (status !== 0)
        recordFailure(
          raw,
          grpcError(status, /^grpc-message: *(.*)$/im.exec(trailers)?.[1]?.trim() ?? "", reached),
        );
    }
    yield part;
  }
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
