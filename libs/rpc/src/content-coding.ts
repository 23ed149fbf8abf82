import type { Transform } from "node:stream";
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from "node:zlib";
import { CinderblockError } from "@cinderblock/errors";
import { BodyCollector } from "./body.ts";
import type { BodyTicket } from "./body-budget.ts";

/** Content codings that a body may have; `identity` changes nothing. */
export type ContentCoding = "identity" | "gzip" | "deflate" | "br" | "zstd";

const CODINGS: ReadonlyMap<string, ContentCoding> = new Map([
  ["identity", "identity"],
  ["gzip", "gzip"],
  ["x-gzip", "gzip"],
  ["deflate", "deflate"],
  ["br", "br"],
  ["zstd", "zstd"],
]);

/** Value of `Accept-Encoding` in an answer that refuses a coding. */
export const ACCEPTED_CODINGS = "gzip, deflate, br, zstd";

/** Coding of a Content-Encoding header; undefined for an unknown coding, and for several on top of each other. */
export function contentCoding(header: string | undefined): ContentCoding | undefined {
  const names = (header ?? "")
    .split(",")
    .map((n) => n.trim().toLowerCase())
    .filter((n) => n !== "" && n !== "identity");
  if (names.length > 1) return undefined;
  return CODINGS.get(names[0] ?? "identity");
}

/** Whether bytes begin as a coding demands; a body that only claims its coding is taken unchanged. */
function begins(body: Uint8Array, coding: ContentCoding): boolean {
  const [a = 0, b = 0, c = 0, d = 0] = body;
  switch (coding) {
    case "gzip":
      return a === 0x1f && b === 0x8b;
    case "zstd":
      return (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) || ((a & 0xf0) === 0x50 && b === 0x2a);
    default:
      return body.length > 0;
  }
}

/** Whether bytes begin with the header of zlib: some clients send `deflate` without it. */
function isZlib(body: Uint8Array): boolean {
  return (body[0]! & 15) === 8 && ((body[0]! << 8) | body[1]!) % 31 === 0;
}

function decoder(coding: Exclude<ContentCoding, "identity">, body: Uint8Array): Transform {
  switch (coding) {
    case "gzip":
      return createGunzip();
    case "deflate":
      return isZlib(body) ? createInflate() : createInflateRaw();
    case "br":
      return createBrotliDecompress();
    case "zstd":
      return createZstdDecompress();
  }
}

/**
 * Removes the content coding of a body, in zlib's threads. The decoded bytes are reserved in the body's ticket
 * as they come (docs/correctness.md, "Every input has a budget").
 * @throws `too-large` above the limit, `invalid` for a body that is not of the coding
 */
export async function decodedBody(
  body: Uint8Array,
  coding: ContentCoding,
  limitBytes: number,
  ticket: BodyTicket | undefined,
): Promise<Uint8Array> {
  if (coding === "identity" || !begins(body, coding)) return body;
  const out = new BodyCollector(-1),
    stream = decoder(coding, body);
  stream.end(body);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const size = out.size + chunk.length;
      if (limitBytes > 0 && size > limitBytes)
        throw new CinderblockError(
          "too-large",
          `request body is more than ${limitBytes} bytes without its content coding; the limit is ${limitBytes}`,
          { reason: "body_size_limit_exceeded", detail: { limit: limitBytes } },
        );
      ticket?.grow(body.length + size);
      out.add(chunk);
    }
  } catch (err) {
    if (err instanceof CinderblockError) throw err;
    throw new CinderblockError(
      "invalid",
      `request body is not of its content coding ${coding}: ${(err as Error).message}`,
      { reason: "malformed_profile", cause: err },
    );
  }
  return out.finish();
}
