import {
  createTraceState,
  isSpanContextValid,
  type SpanContext,
  TraceFlags,
  type TraceState,
} from "@opentelemetry/api";

/** A span of another process as W3C headers: https://www.w3.org/TR/trace-context/ */
export type TraceHeaders = {
  /** `00-<trace>-<span>-<flags>` in hexadecimal digits; flag 1: the trace is sampled */
  traceparent: string;
  /** entries of tracing vendors, passed on unchanged */
  tracestate?: string;
};

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** Maximum characters of a passed-on `tracestate`; the standard asks for this many. */
const MAX_STATE = 512;

/** Headers of a span. */
export function headersOf({ traceId, spanId, traceFlags, traceState }: SpanContext): TraceHeaders {
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`,
    tracestate = traceState?.serialize() ?? "";
  return tracestate === "" || tracestate.length > MAX_STATE ? { traceparent } : { traceparent, tracestate };
}

/** The span that headers name; undefined without valid headers. */
export function spanContextOf(headers: Readonly<Record<string, unknown>>): SpanContext | undefined {
  const { traceparent } = headers;
  if (typeof traceparent !== "string") return undefined;
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(traceparent.trim()) ?? [];
  // A later version may have more fields; version ff is invalid.
  if (traceId === undefined || version === "ff" || (version === "00" && more !== undefined)) return undefined;
  const traceState = stateOf(headers.tracestate);
  const found: SpanContext = {
    traceId,
    spanId: spanId!,
    traceFlags: parseInt(flags!, 16),
    isRemote: true,
    ...(traceState ? { traceState } : {}),
  };
  return isSpanContextValid(found) ? found : undefined;
}

function stateOf(header: unknown): TraceState | undefined {
  const text = Array.isArray(header) ? header.join(",") : header;
  return typeof text === "string" && text !== "" ? createTraceState(text) : undefined;
}

/** Whether the trace of a span is recorded. */
export function isSampled({ traceFlags }: SpanContext): boolean {
  return (traceFlags & TraceFlags.SAMPLED) !== 0;
}
