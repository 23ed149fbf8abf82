import type { IncomingHttpHeaders } from "node:http";
import { CinderblockError } from "@cinderblock/errors";
import type { FastifyReply, FastifyRequest } from "fastify";
import { sendRefusal } from "./authorize.ts";

/** Methods that change nothing. */
const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);

/** Whether a browser may have sent a request; programs send neither header. */
export function isFromBrowser(headers: IncomingHttpHeaders): boolean {
  return headers["sec-fetch-site"] !== undefined || headers.origin !== undefined;
}

/**
 * Body types that a page may send to another site without a preflight, as a form does. For all other types,
 * and for all methods except POST, a browser first asks with OPTIONS, which this server never allows.
 */
const FORM_TYPES = new Set(["", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]);

/**
 * Whether a page of another site made a browser send a request that may change state. A browser adds its
 * credentials for this server to such a request, so a hidden form on any site could forget a ring member.
 * Browsers state the origin of a request in `Sec-Fetch-Site`, and over plain HTTP only in `Origin`. A gateway
 * may rewrite `Host`; a form of another site cannot set `X-Forwarded-Host`.
 */
export function isCrossSite(method: string, headers: IncomingHttpHeaders): boolean {
  if (SAFE.has(method)) return false;
  const site = headers["sec-fetch-site"],
    { origin } = headers;
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  const type = (headers["content-type"] ?? "").split(";")[0]!.trim().toLowerCase();
  if (origin === undefined || method !== "POST" || !FORM_TYPES.has(type)) return false;
  const own = [headers.host, headers[":authority"], headers["x-forwarded-host"]].flat().flatMap((h) =>
    (h ?? "")
      .toLowerCase()
      .split(",")
      .map((x) => x.trim()),
  );
  // "null" is the origin of sandboxed pages and of local files.
  const host = URL.canParse(origin) ? new URL(origin).host : "";
  return host === "" || !own.includes(host);
}

/** Refuses requests from pages of other sites before their bodies are read. */
export async function refuseCrossSite(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (!isCrossSite(request.method, request.headers)) return;
  await sendRefusal(
    request,
    reply,
    new CinderblockError(
      "forbidden",
      `cross-site request refused: ${request.headers.origin ?? request.headers["sec-fetch-site"]} is not the origin of this server; behind a gateway that changes Host, set X-Forwarded-Host`,
    ),
  );
}
