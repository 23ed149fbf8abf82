import { formatShare } from "@cinderblock/flame";
import type { Series } from "../api/types.ts";
import { formatTime } from "./time.ts";

/** An annotation of a time series as text, with its first and last point. */
export interface AnnotationSpan {
  text: string;
  fromMs: number;
  untilMs: number;
}

interface Throttled {
  periodType?: string;
  periodLimitMb?: number;
  limitResetTime?: number;
  samplingRequests?: number;
  samplingPeriodSec?: number;
  usageGroup?: string;
}
interface Sampled {
  source?: { usageGroup?: string; probability?: number };
}

/** Text of a stored annotation (a key, and a value in JSON). Shows unknown annotations unchanged. */
export function annotationText(key: string, value: string, zone: string): string {
  let body: Throttled & Sampled;
  try {
    body = (JSON.parse(value) as { body?: Throttled & Sampled }).body ?? {};
  } catch {
    return `${key}: ${value}`;
  }
  if (key === "pyroscope.ingest.throttled") {
    const whose = body.usageGroup ? `usage group ${body.usageGroup}` : "this tenant";
    const kept =
      body.samplingRequests && body.samplingPeriodSec
        ? ` ${body.samplingRequests} of the requests of each ${body.samplingPeriodSec} s ${body.samplingRequests === 1 ? "was" : "were"} taken.`
        : "";
    const until = body.limitResetTime ? ` until ${formatTime(body.limitResetTime * 1000, zone)}` : "";
    return `Most profiles are missing: ${whose} had reached its limit${body.periodLimitMb ? ` of ${body.periodLimitMb} MB${body.periodType ? ` per ${body.periodType}` : ""}` : ""}${until}.${kept}`;
  }
  if (key === "pyroscope.ingest.sampled" && body.source)
    return `Only ${formatShare(body.source.probability ?? 0)} of the profiles of usage group ${body.source.usageGroup ?? ""} are kept.`;
  return `${key}: ${value}`;
}

/** The annotations of some series, each once, in order of their first points. */
export function annotationSpans(series: readonly Series[], zone: string): AnnotationSpan[] {
  const out = new Map<string, AnnotationSpan>();
  for (const s of series) {
    for (const p of s.points) {
      for (const { key, value } of p.annotations) {
        const text = annotationText(key, value, zone),
          known = out.get(text);
        if (!known) out.set(text, { text, fromMs: p.ms, untilMs: p.ms });
        else {
          known.fromMs = Math.min(known.fromMs, p.ms);
          known.untilMs = Math.max(known.untilMs, p.ms);
        }
      }
    }
  }
  return [...out.values()].sort((a, b) => a.fromMs - b.fromMs);
}
