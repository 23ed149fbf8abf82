import { context, propagation, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

/** A span covers an RPC or a stage that people analyze; never a sample or a row. */
export interface Tracer {
  readonly enabled: boolean;
  span<T>(name: string, attributes: Record<string, string | number>, work: () => Promise<T>): Promise<T>;
  /**
   * Begins the span of a request, within the caller's trace if `headers` carry one, and runs `next` inside
   * it.
   */
  request(name: string, headers: Record<string, unknown>, next: () => void): Span | undefined;
  stop(): Promise<void>;
}

/** Tracer that records nothing. */
export const noTracer: Tracer = {
  enabled: false,
  span: (_name, _attributes, work) => work(),
  request: (_name, _headers, next) => {
    next();
    return undefined;
  },
  stop: () => Promise.resolve(),
};

/** Sends spans to an OTLP/HTTP endpoint in batches. */
export function startTracing(endpoint: string, version: string): Tracer {
  if (endpoint === "") return noTracer;
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ "service.name": "cinderblock", "service.version": version }),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: endpoint }))],
  });
  provider.register();
  const tracer = trace.getTracer("cinderblock", version);
  return {
    enabled: true,
    span: (name, attributes, work) =>
      tracer.startActiveSpan(name, { attributes }, async (span) => {
        try {
          return await work();
        } catch (err) {
          span.setStatus({
            code: SpanStatusCode.ERROR,
            message: err instanceof Error ? err.message : String(err),
          });
          throw err;
        } finally {
          span.end();
        }
      }),
    request(name, headers, next) {
      const parent = propagation.extract(context.active(), headers);
      const span = tracer.startSpan(name, { kind: SpanKind.SERVER }, parent);
      context.with(trace.setSpan(parent, span), next);
      return span;
    },
    stop: () => provider.shutdown(),
  };
}
