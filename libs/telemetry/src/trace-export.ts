import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchSpanProcessor,
  NodeTracerProvider,
  ParentBasedSampler,
  type SpanExporter,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace-node";
import type { Logger } from "./log.ts";
import type { Metrics } from "./metrics.ts";

/** Name of this process in its spans, sampling, and where failures are reported. */
export interface TracingOptions {
  /** `service.name` of the spans; OTEL_SERVICE_NAME takes precedence */
  service?: string;
  /** `service.instance.id` of the spans */
  instance?: string;
  /**
   * share of the traces that begin here and are recorded, from 0 to 1; undefined: OTEL_TRACES_SAMPLER and
   * OTEL_TRACES_SAMPLER_ARG, or else all
   */
  sampleRatio?: number | undefined;
  log?: Logger;
  metrics?: Metrics;
}

/** Source of a process's spans, until its shutdown. */
export type SpanProvider = Pick<NodeTracerProvider, "getTracer" | "shutdown">;

/** Minimum interval between log lines about failed exports. */
const LOG_MS = 60_000;
/** Result code of a successful export. */
const SUCCESS = 0;

/** Provider of spans that are sent to an OTLP/HTTP endpoint in batches. */
export function spanProvider(endpoint: string, version: string, options: TracingOptions): SpanProvider {
  const count = options.metrics?.counter(
    "cinderblock_tracing_spans_total",
    "Spans that ended in this process, and spans that the trace collector accepted or did not.",
    ["result"],
  );
  for (const result of ["ended", "sent", "failed"]) count?.inc({ result }, 0);
  const counted = (result: string, n: number): void => count?.inc({ result }, n);
  return new NodeTracerProvider({
    resource: resourceFromAttributes({
      "service.name": options.service ?? "cinderblock",
      "service.version": version,
      ...(options.instance === undefined ? {} : { "service.instance.id": options.instance }),
    }).merge(detectResources({ detectors: [envDetector] })),
    // Without a ratio, the provider reads OpenTelemetry's environment variables.
    ...(options.sampleRatio === undefined
      ? {}
      : { sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(options.sampleRatio) }) }),
    spanProcessors: [
      endCounter(() => counted("ended", 1)),
      new BatchSpanProcessor(
        reporting(new OTLPTraceExporter({ url: endpoint }), endpoint, counted, options.log),
      ),
    ],
  });
}

function endCounter(ended: () => void): SpanProcessor {
  const done = (): Promise<void> => Promise.resolve();
  return { onStart: () => undefined, onEnd: ended, forceFlush: done, shutdown: done };
}

/** Counts and logs the results of an exporter, which otherwise drops spans in silence. */
function reporting(
  exporter: SpanExporter,
  endpoint: string,
  count: (result: string, n: number) => void,
  log: Logger | undefined,
): SpanExporter {
  let loggedMs = -Infinity;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const sent = result.code === SUCCESS;
        count(sent ? "sent" : "failed", spans.length);
        const now = performance.now();
        if (!sent && now - loggedMs >= LOG_MS) {
          loggedMs = now;
          log?.warn({ endpoint, spans: spans.length, err: result.error }, "spans could not be sent");
        }
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
  };
}
