import type { Series } from "../api/types.ts";
import { formatTime } from "./time.ts";

/** What was remarked on some profiles of a time line, in words; and the first and the last point that it stands at. */
export interface Remark {
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

/** A remark as the server keeps it (a key, and a value in JSON) in words. What is not known is shown as it is. */
export function remarkText(key: string, value: string, zone: string): string {
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
    return `Only ${Math.round((body.source.probability ?? 0) * 10_000) / 100} % of the profiles of usage group ${body.source.usageGroup ?? ""} are kept.`;
  return `${key}: ${value}`;
}

/** The remarks of some lines, each once, in the order of their first points. */
export function remarksOf(series: readonly Series[], zone: string): Remark[] {
  const out = new Map<string, Remark>();
  for (const s of series) {
    for (const p of s.points) {
      for (const { key, value } of p.annotations) {
        const text = remarkText(key, value, zone),
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
