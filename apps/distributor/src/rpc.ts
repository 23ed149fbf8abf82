import { CinderblockError } from "@cinderblock/errors";
import { type IngestRequest, parseAppName, parseTime, peekService } from "@cinderblock/ingest";
import { acceptRawBodies, type FastifyReply, type FastifyRequest, httpError, INGEST_EDGE, rawUnary, type Routes } from "@cinderblock/rpc";
import { DEFAULT_TENANT, tenantForWrite } from "@cinderblock/tenant";
import type { Distributor } from "./distributor.ts";

const EMPTY = new Uint8Array(0);
const EMPTY_JSON = Buffer.from("{}");

function one(header: string | string[] | undefined): string | undefined { return Array.isArray(header) ? header[0] : header; }

/** push.v1.PusherService/Push and POST /ingest. Bodies stay bytes. */
export function distributorRoutes(distributor: Distributor, multitenancy: boolean, now: () => number): Routes {
  return {
    http: (app) => {
      acceptRawBodies(app, distributor.bodyLimit(DEFAULT_TENANT), (bytes) => distributor.admit(bytes));
      app.setErrorHandler(async (err, _request, reply) => {
        const { status, body } = httpError(err);
        await reply.code(status).type("application/json").send(body);
      });
      rawUnary(app, "/push.v1.PusherService/Push", async ({ codec, gzip, body, headers }) => {
        const tenant = tenantForWrite(one(headers["x-scope-orgid"]), multitenancy);
        await distributor.push(tenant, gzip || codec === "json" ? "" : peekService(body), { kind: "push", codec, gzip, body }, "push");
        return codec === "json" ? EMPTY_JSON : EMPTY;
      });
      for (const path of ["/ingest", "/pyroscope/ingest"]) {
        app.post(path, async (request, reply) => { await ingest(request, reply, distributor, multitenancy, now); });
      }
    },
  };
}

async function ingest(request: FastifyRequest, reply: FastifyReply, distributor: Distributor, multitenancy: boolean, now: () => number): Promise<void> {
  try {
    const tenant = tenantForWrite(one(request.headers["x-scope-orgid"]), multitenancy);
    const parsed = parseIngest(request, now());
    const body = (request.body as Uint8Array | undefined) ?? EMPTY;
    if (parsed) {
      // Text formats name their type in the application's name: a wrong one is told before the body is read.
      const service = parsed.tags.find((t) => t.name === "service_name")?.value ?? parsed.app;
      await distributor.push(tenant, service, { kind: "ingest", request: parsed, body }, parsed.format);
    }
    await reply.code(200).send();
  } catch (err) {
    const { status, body } = httpError(err, { ...INGEST_EDGE, ...(isProfileError(err, request) ? { invalid: 422 } : {}) });
    await reply.code(status).type("application/json").header("x-content-type-options", "nosniff").send(body);
  }
}

/** A pprof that does not pass validation is 422 here; a bad name, and text formats, are 400. */
function isProfileError(err: unknown, request: FastifyRequest): boolean {
  if (!(err instanceof CinderblockError) || err.reason === undefined) return false;
  const { format } = request.query as Record<string, string | undefined>;
  return format === "pprof" || (request.headers["content-type"] ?? "").includes("multipart/form-data");
}

function parseIngest(request: FastifyRequest, nowMs: number): IngestRequest | undefined {
  const q = request.query as Record<string, string | undefined>;
  const { app, tags } = parseAppName(q.name ?? "");
  const type = (request.headers["content-type"] ?? "").toLowerCase();
  const format = q.format ?? "";
  const rate = Number(q.sampleRate ?? 100);
  const base = { app, tags, boundary: "", spyName: q.spyName || "unknown", sampleRate: Number.isInteger(rate) && rate >= 0 ? rate : 100, fromNanos: BigInt(Math.floor(parseTime(q.from ?? "", nowMs))) * 1_000_000n };
  if (format === "trie" || type === "binary/octet-stream+trie" || format === "tree" || type === "binary/octet-stream+tree" || format === "jfr" || format === "speedscope") {
    throw new CinderblockError("unknown", `format ${format || type} is not supported yet: this server takes pprof and folded text`, { reason: "malformed_profile" });
  }
  if (format === "lines") return { ...base, format: "lines" };
  if (format === "pprof") return { ...base, format: "pprof" };
  if (type.includes("multipart/form-data")) {
    const boundary = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(request.headers["content-type"] ?? "");
    return { ...base, format: "multipart", boundary: boundary?.[1] ?? boundary?.[2] ?? "" };
  }
  return { ...base, format: "groups" };
}
