import { CinderblockError, invalidError } from "@cinderblock/errors";
import { type IngestRequest, parseAppName, parseTime, peekService } from "@cinderblock/ingest";
import {
  ACCEPTED_CODINGS,
  acceptRawBodies,
  type BodyBudget,
  contentCoding,
  decodedBody,
  type FastifyReply,
  type FastifyRequest,
  httpError,
  INGEST_ERROR_STATUS,
  mediaType,
  type RawBodyOptions,
  type RawHandler,
  rawUnary,
  recordFailure,
  type Routes,
} from "@cinderblock/rpc";
import { DEFAULT_TENANT, tenantForWrite } from "@cinderblock/tenant";
import type { Distributor } from "./distributor.ts";

const PUSH = "/push.v1.PusherService/Push";
const EMPTY = new Uint8Array(0);
const EMPTY_JSON = Buffer.from("{}");

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}

/** Routes of push.v1.PusherService/Push and POST /ingest. Bodies stay bytes. */
export function distributorRoutes(
  distributor: Distributor,
  bodies: BodyBudget,
  multitenancy: boolean,
  now: () => number,
): Routes {
  const pushHandler: RawHandler = async ({ codec, gzip, body, headers, ticket }) => {
    const tenant = tenantForWrite(one(headers["x-scope-orgid"]), multitenancy);
    await distributor.push(
      tenant,
      gzip || codec === "json" ? "" : peekService(body),
      { kind: "push", codec, gzip, body },
      "push",
      ticket,
    );
    return codec === "json" ? EMPTY_JSON : EMPTY;
  };
  const raw: RawBodyOptions = {
    limitBytes: distributor.bodyLimit(DEFAULT_TENANT),
    budget: bodies,
    admit: () => distributor.admit(),
  };
  return {
    direct: { ...raw, path: PUSH, handler: pushHandler },
    http: (app) => {
      acceptRawBodies(app, raw);
      app.setErrorHandler(async (err, request, reply) => {
        const { status, body } = httpError(request.raw, err);
        await reply.code(status).type("application/json").send(body);
      });
      rawUnary(app, PUSH, pushHandler);
      rawUnary(
        app,
        "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
        async ({ codec, gzip, body, headers, ticket }) => {
          const tenant = tenantForWrite(one(headers["x-scope-orgid"]), multitenancy);
          await distributor.push(tenant, "", { kind: "otlp", codec, gzip, body }, "otlp", ticket);
          return codec === "json" ? EMPTY_JSON : EMPTY;
        },
      );
      app.post("/v1development/profiles", async (request, reply) => {
        await otlpHttp(request, reply, distributor, multitenancy);
      });
      for (const path of ["/ingest", "/pyroscope/ingest"]) {
        app.post(path, async (request, reply) => {
          await ingest(request, reply, distributor, multitenancy, now);
        });
      }
    },
  };
}

const OTLP_TYPES: ReadonlyMap<string, "proto" | "json"> = new Map(
  Object.entries<"proto" | "json">({
    "application/json": "json",
    "application/x-protobuf": "proto",
    "application/protobuf": "proto",
  }),
);

/** OTLP over HTTP. Like v1, answers with an empty protobuf message, also to a JSON request. */
async function otlpHttp(
  request: FastifyRequest,
  reply: FastifyReply,
  distributor: Distributor,
  multitenancy: boolean,
): Promise<void> {
  const type = request.headers["content-type"] ?? "",
    codec = OTLP_TYPES.get(mediaType(type));
  if (!codec) {
    const message = `unsupported content type ${JSON.stringify(type)}: send application/json, application/x-protobuf or application/protobuf`;
    recordFailure(request.raw, invalidError(message));
    await reply.code(415).type("text/plain; charset=utf-8").send(`${message}\n`);
    return;
  }
  const coding = contentCoding(request.headers["content-encoding"]);
  if (!coding) {
    await refuseCoding(request, reply)
      .type("text/plain; charset=utf-8")
      .send(`${codingMessage(request)}\n`);
    return;
  }
  try {
    const tenant = tenantForWrite(one(request.headers["x-scope-orgid"]), multitenancy),
      body = (request.body as Uint8Array | undefined) ?? EMPTY,
      // Threads inflate gzip with the decoding.
      gzip = coding === "gzip";
    await distributor.push(
      tenant,
      "",
      {
        kind: "otlp",
        codec,
        gzip,
        body: gzip
          ? body
          : await decodedBody(body, coding, distributor.bodyLimit(tenant), request.bodyTicket),
      },
      "otlp",
      request.bodyTicket,
    );
    await reply.code(200).type("application/x-protobuf").send(Buffer.alloc(0));
  } catch (err) {
    const { status } = httpError(request.raw, err, { unknown: 400 });
    await reply
      .code(status)
      .type("text/plain; charset=utf-8")
      .send(`${(err as Error).message}\n`);
  }
}

function codingMessage(request: FastifyRequest): string {
  return `unsupported content encoding ${JSON.stringify(request.headers["content-encoding"])}: send one of ${ACCEPTED_CODINGS}, or none`;
}
function refuseCoding(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  recordFailure(request.raw, invalidError(codingMessage(request)));
  return reply.code(415).header("accept-encoding", ACCEPTED_CODINGS);
}

async function ingest(
  request: FastifyRequest,
  reply: FastifyReply,
  distributor: Distributor,
  multitenancy: boolean,
  now: () => number,
): Promise<void> {
  const coding = contentCoding(request.headers["content-encoding"]);
  if (!coding) {
    await refuseCoding(request, reply)
      .type("application/json")
      .send(`${JSON.stringify({ code: "invalid_argument", message: codingMessage(request) })}\n`);
    return;
  }
  try {
    const tenant = tenantForWrite(one(request.headers["x-scope-orgid"]), multitenancy);
    const parsed = parseIngest(request, now());
    if (parsed) {
      const body = await decodedBody(
        (request.body as Uint8Array | undefined) ?? EMPTY,
        coding,
        distributor.bodyLimit(tenant),
        request.bodyTicket,
      );
      // Text formats name their profile type in the application's name: refuse a wrong one before parsing.
      const service = parsed.tags.find((t) => t.name === "service_name")?.value ?? parsed.app;
      await distributor.push(
        tenant,
        service,
        { kind: "ingest", request: parsed, body },
        parsed.format,
        request.bodyTicket,
      );
    }
    await reply.code(200).send();
  } catch (err) {
    const { status, body } = httpError(request.raw, err, {
      ...INGEST_ERROR_STATUS,
      ...(isProfileError(err, request) ? { invalid: 422 } : {}),
    });
    await reply.code(status).type("application/json").header("x-content-type-options", "nosniff").send(body);
  }
}

/** Whether an error gets 422: an invalid pprof, JFR, speedscope or multipart profile. Names and texts get 400. */
function isProfileError(err: unknown, request: FastifyRequest): boolean {
  if (!(err instanceof CinderblockError) || err.reason === undefined) return false;
  const { format } = parametersOf(request);
  return (
    format === "pprof" ||
    format === "jfr" ||
    format === "speedscope" ||
    mediaType(request.headers["content-type"]) === "multipart/form-data"
  );
}

/** Samples a second without a valid `sampleRate`, and the largest rate: one sample for each nanosecond. */
const DEFAULT_RATE = 100,
  MAX_RATE = 1_000_000_000;

/** Query parameters; the first of each name counts. */
function parametersOf(request: FastifyRequest): Record<string, string | undefined> {
  const out = Object.create(null) as Record<string, string | undefined>;
  for (const [name, value] of Object.entries(request.query as Record<string, string | string[]>))
    out[name] = typeof value === "string" ? value : value[0];
  return out;
}

/** Milliseconds from 1970 whose nanoseconds fit into 64 bits. */
const MAX_NANOS_MS = 9_223_372_036_854;

function parseIngest(request: FastifyRequest, nowMs: number): IngestRequest | undefined {
  const q = parametersOf(request);
  const { app, tags } = parseAppName(q.name ?? "");
  const type = mediaType(request.headers["content-type"]);
  const format = q.format ?? "";
  const rate = /^[+-]?\d+$/.test(q.sampleRate ?? "") ? Number(q.sampleRate) : DEFAULT_RATE;
  if (rate > MAX_RATE)
    throw new CinderblockError(
      "invalid",
      `sampleRate: ${JSON.stringify(q.sampleRate)} samples a second leave no time to a sample; the limit is ${MAX_RATE}`,
    );
  const from = Math.floor(parseTime(q.from ?? "", nowMs)),
    until = Math.floor(parseTime(q.until ?? "", nowMs));
  for (const [name, at] of [
    ["from", from],
    ["until", until],
  ] as const)
    if (Math.abs(at) > MAX_NANOS_MS)
      throw new CinderblockError(
        "invalid",
        `${name}: ${JSON.stringify(q[name])} is too far from 1970; the limit is ${MAX_NANOS_MS} ms`,
      );
  const base = {
    app,
    tags,
    boundary: "",
    durationNanos: BigInt(Math.max(0, until - from)) * 1_000_000n,
    spyName: q.spyName || "unknown",
    sampleRate: rate >= 0 ? rate : DEFAULT_RATE,
    fromNanos: BigInt(from) * 1_000_000n,
  };
  const found = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(request.headers["content-type"] ?? "");
  const boundary = type === "multipart/form-data" ? (found?.[1] ?? found?.[2] ?? "") : "";
  // The first match wins, in v1's order.
  if (format === "trie" || type === "binary/octet-stream+trie") return { ...base, format: "trie" };
  if (format === "tree" || type === "binary/octet-stream+tree") return { ...base, format: "tree" };
  if (format === "lines") return { ...base, format: "lines" };
  if (format === "jfr") return { ...base, format: "jfr", boundary };
  if (format === "pprof") return { ...base, format: "pprof" };
  if (format === "speedscope") return { ...base, format: "speedscope" };
  if (type === "multipart/form-data") return { ...base, format: "multipart", boundary };
  return { ...base, format: "groups" };
}
