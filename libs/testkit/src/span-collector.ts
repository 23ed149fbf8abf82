import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A span as a trace collector receives it. */
export interface CollectedSpan {
  traceId: string;
  spanId: string;
  /** "": the first span of its trace */
  parentSpanId: string;
  name: string;
  /** SPAN_KIND_* of OTLP: 1 internal, 2 server, 3 client, 4 producer, 5 consumer */
  kind: number;
  /** resource attributes `service.name` and `service.instance.id` */
  service: string;
  instance: string;
  attributes: Record<string, string | number>;
  /** IDs of linked spans */
  links: string[];
  failed: boolean;
}

/** Trace collector in memory, which receives OTLP/HTTP with JSON on a real port. */
export interface SpanCollector {
  /** value of -tracing.otlp-endpoint */
  readonly endpoint: string;
  readonly spans: CollectedSpan[];
  stop(): Promise<void>;
}

interface Attribute {
  key: string;
  value: { stringValue?: string; intValue?: number | string; doubleValue?: number };
}
interface Received {
  resourceSpans: {
    resource: { attributes: Attribute[] };
    scopeSpans: {
      spans: {
        traceId: string;
        spanId: string;
        parentSpanId?: string;
        name: string;
        kind: number;
        attributes?: Attribute[];
        links?: { spanId: string }[];
        status?: { code?: number };
      }[];
    }[];
  }[];
}
const OTLP_ERROR = 2,
  PATH = "/v1/traces";

function record(attributes: readonly Attribute[] = []): Record<string, string | number> {
  return Object.fromEntries(
    attributes.map(({ key, value: v }) => [key, v.stringValue ?? v.doubleValue ?? Number(v.intValue)]),
  );
}

function spansOf({ resourceSpans }: Received): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const of = record(resource.attributes);
    return scopeSpans
      .flatMap((scope) => scope.spans)
      .map((s) => ({
        traceId: s.traceId,
        spanId: s.spanId,
        parentSpanId: s.parentSpanId ?? "",
        name: s.name,
        kind: s.kind,
        service: String(of["service.name"] ?? ""),
        instance: String(of["service.instance.id"] ?? ""),
        attributes: record(s.attributes),
        links: (s.links ?? []).map((l) => l.spanId),
        failed: s.status?.code === OTLP_ERROR,
      }));
  });
}

/** Starts a trace collector; other paths than its own refuse spans. */
export async function startSpanCollector(): Promise<SpanCollector> {
  const spans: CollectedSpan[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (b: Buffer) => parts.push(b));
    request.on("end", () => {
      if (request.url !== PATH) {
        response.writeHead(400).end();
        return;
      }
      spans.push(...spansOf(JSON.parse(Buffer.concat(parts).toString()) as Received));
      response.setHeader("content-type", "application/json").end("{}");
    });
  });
  await new Promise<void>((done) => {
    server.listen(0, "127.0.0.1", done);
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}${PATH}`,
    spans,
    stop: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
