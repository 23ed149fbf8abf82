import { AsyncLocalStorage } from "node:async_hooks";
import {
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer as OtelTracer,
} from "@opentelemetry/api";
import { headersOf, isSampled, spanContextOf, type TraceHeaders } from "./trace-context.ts";
import { spanProvider, type SpanProvider, type TracingOptions } from "./trace-export.ts";

/** Attributes of a span: the tenant, names and numbers; never labels or symbols of profiles. */
type SpanAttributes = Record<string, string | number>;

/** Headers of a request or of a record, which may carry a trace. */
type Carrier = Readonly<Record<string, unknown>>;

/** The span of a request that this process serves. */
export interface RequestSpan {
  readonly traceId: string;
  /** Runs work inside the span; each turn of the event loop that begins without the span needs this. */
  run<T>(work: () => T): T;
  /**
   * Ends the span, once. Work that still runs begins no further spans.
   * @param status of the answer
   * @param error kind of the error that the answer reports; undefined: none
   */
  end(status: number, error?: string): void;
}

/**
 * Spans of this process. A span covers an RPC or a stage that people analyze; never a sample or a row. Only
 * requests begin traces: work outside of a request, such as a poll, has no spans.
 */
export interface Tracer {
  readonly enabled: boolean;
  /** Runs work in a span of the active trace. */
  span<T>(name: string, attributes: SpanAttributes, work: () => Promise<T>): Promise<T>;
  /**
   * Runs a call of another process, or a write that another process reads, in a span.
   * @param work gets the headers to send; undefined outside of a trace
   */
  send<T>(
    kind: "call" | "message",
    name: string,
    attributes: SpanAttributes,
    work: (headers: TraceHeaders | undefined) => Promise<T>,
  ): Promise<T>;
  /**
   * Runs work that a request handed over, in a span of its trace.
   * @param from headers of the request's span; undefined or invalid: runs the work without a span. With several
   * requests, the span continues the first recorded trace, and links to the others
   */
  resume<T>(
    name: string,
    attributes: SpanAttributes,
    from: Carrier | readonly Carrier[] | undefined,
    work: () => Promise<T>,
  ): Promise<T>;
  /**
   * Begins the span of a request, within the caller's trace if `headers` carry one.
   * @param begins whether a request without a caller's trace begins one
   * @returns undefined: the request has no trace
   */
  request(
    name: string,
    headers: Carrier,
    attributes: SpanAttributes,
    begins: boolean,
  ): RequestSpan | undefined;
  /** Headers of the active span, to hand work over; undefined outside of a trace. */
  headers(): TraceHeaders | undefined;
  /** ID of the active trace; undefined outside of a trace. */
  traceId(): string | undefined;
  /** Sends the remaining spans. */
  stop(): Promise<void>;
}

/** Tracer that records nothing. */
export const noTracer: Tracer = {
  enabled: false,
  span: (_name, _attributes, work) => work(),
  send: (_kind, _name, _attributes, work) => work(undefined),
  resume: (_name, _attributes, _from, work) => work(),
  request: () => undefined,
  headers: () => undefined,
  traceId: () => undefined,
  stop: () => Promise.resolve(),
};

/** The active span, and whether the request that it belongs to still runs in this process. */
interface Active {
  readonly span: Span;
  readonly context: Context;
  readonly request: { open: boolean };
}

/**
 * Sends spans to an OTLP/HTTP endpoint in batches.
 * @param endpoint "": no tracing
 */
export function startTracing(endpoint: string, version: string, options: TracingOptions = {}): Tracer {
  return endpoint === "" ? noTracer : new SpanTracer(spanProvider(endpoint, version, options), version);
}

const SENT = { call: SpanKind.CLIENT, message: SpanKind.PRODUCER };

class SpanTracer implements Tracer {
  readonly enabled = true;
  private readonly store = new AsyncLocalStorage<Active>();
  private readonly provider: SpanProvider;
  private readonly tracer: OtelTracer;

  constructor(provider: SpanProvider, version: string) {
    this.provider = provider;
    this.tracer = provider.getTracer("cinderblock", version);
  }

  /** The active span of a request that still runs: timers and sockets keep the span that they began in. */
  private active(): Active | undefined {
    const active = this.store.getStore();
    return active?.request.open === true ? active : undefined;
  }

  span<T>(name: string, attributes: SpanAttributes, work: () => Promise<T>): Promise<T> {
    const active = this.active();
    if (!active || !isSampled(active.span.spanContext())) return work();
    return this.child(active, name, SpanKind.INTERNAL, attributes, work);
  }

  send<T>(
    kind: "call" | "message",
    name: string,
    attributes: SpanAttributes,
    work: (headers: TraceHeaders | undefined) => Promise<T>,
  ): Promise<T> {
    const active = this.active();
    if (!active) return work(undefined);
    // Other processes learn that the trace is not recorded.
    if (!isSampled(active.span.spanContext())) return work(headersOf(active.span.spanContext()));
    return this.child(active, name, SENT[kind], attributes, (span) => work(headersOf(span.spanContext())));
  }

  private child<T>(
    active: Active,
    name: string,
    kind: SpanKind,
    attributes: SpanAttributes,
    work: (span: Span) => Promise<T>,
  ): Promise<T> {
    const span = this.tracer.startSpan(name, { kind, attributes }, active.context);
    return this.inside(span, active.request, work);
  }

  private async inside<T>(
    span: Span,
    request: Active["request"],
    work: (span: Span) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.store.run({ span, context: trace.setSpan(ROOT_CONTEXT, span), request }, () =>
        work(span),
      );
    } catch (err) {
      span.setStatus({
        code: SpanStatusCode.ERROR,
        message: err instanceof Error ? err.message : String(err),
      });
      throw err;
    } finally {
      span.end();
    }
  }

  async resume<T>(
    name: string,
    attributes: SpanAttributes,
    from: Carrier | readonly Carrier[] | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    const spans = [from ?? []].flat().flatMap((headers) => spanContextOf(headers as Carrier) ?? []),
      parent = spans.find(isSampled) ?? spans[0];
    if (!parent) return work();
    const links = spans.filter((s) => s !== parent).map((context) => ({ context }));
    const span = this.tracer.startSpan(
      name,
      { kind: SpanKind.CONSUMER, attributes, links },
      trace.setSpanContext(ROOT_CONTEXT, parent),
    );
    const request = { open: true };
    try {
      return await this.inside(span, request, work);
    } finally {
      request.open = false;
    }
  }

  request(
    name: string,
    headers: Carrier,
    attributes: SpanAttributes,
    begins: boolean,
  ): RequestSpan | undefined {
    const parent = spanContextOf(headers);
    if (!parent && !begins) return undefined;
    const span = this.tracer.startSpan(
      name,
      { kind: SpanKind.SERVER, attributes },
      parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT,
    );
    const active: Active = { span, context: trace.setSpan(ROOT_CONTEXT, span), request: { open: true } };
    return {
      traceId: span.spanContext().traceId,
      run: (work) => this.store.run(active, work),
      end: (status, error) => {
        if (!active.request.open) return;
        active.request.open = false;
        span.setAttribute("http.response.status_code", status);
        if (error !== undefined) span.setAttribute("error.type", error);
        if (status >= 500 || error === "internal") span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      },
    };
  }

  headers(): TraceHeaders | undefined {
    const active = this.active();
    return active && headersOf(active.span.spanContext());
  }

  traceId(): string | undefined {
    return this.active()?.span.spanContext().traceId;
  }

  stop(): Promise<void> {
    return this.provider.shutdown();
  }
}
