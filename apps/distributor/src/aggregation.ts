import {
  aggregateOf,
  sumPushAnswers,
  type PushAnswer,
  pushesBySeries,
  type RawPush,
  type SentPush,
  type SeriesPush,
} from "@cinderblock/ingest";
import { type Limits, smallerLimit } from "@cinderblock/tenant";
import type { Base, TraceHeaders, Tracer } from "@cinderblock/telemetry";
import type { WritePath } from "./distributor.ts";

export interface AggregationConfig {
  /** maximum bytes held for one series; a push beyond it writes them first */
  maxBytes: number;
  /** maximum bytes held for all series; beyond it, the oldest series are written */
  maxHeldBytes: number;
}

interface Waiting {
  push: SentPush;
  /** the push's span; undefined: it has no trace */
  trace: TraceHeaders | undefined;
  resolve: (answer: PushAnswer) => void;
  reject: (err: unknown) => void;
}
interface Held {
  series: Series;
  tenant: string;
  service: string;
  limits: Limits;
  pushes: Waiting[];
  bytes: number;
  timer: NodeJS.Timeout;
}
/** One series of a tenant: the time of its last push, and its held pushes. */
interface Series {
  lastMs: number;
  periodMs: number;
  held: Held | undefined;
}

/** A sweep runs when there are twice as many series as after the last one, and at least this many. */
const SWEEP_FROM = 1024;

/**
 * Holds the pushes of series that send more often than their tenant's period, and writes them together: their
 * profiles become fewer rows. Every sender gets its answer when the aggregate is durable
 * (docs/formats/ingest.md), so no acknowledged push is only in memory.
 */
export class Aggregation {
  private readonly series = new Map<string, Series>();
  private readonly held = new Set<Held>();
  private heldBytes = 0;
  private sweepAt = SWEEP_FROM;
  private draining = false;
  private readonly writing = new Set<Promise<void>>();
  private readonly path: WritePath;
  private readonly config: AggregationConfig;
  private readonly aggregated: { inc(n: number): void };
  private readonly tracer: Tracer;

  constructor(path: WritePath, config: AggregationConfig, base: Base) {
    this.path = path;
    this.config = config;
    const { metrics, tracer } = base;
    this.tracer = tracer;
    this.aggregated = metrics.counter(
      "pyroscope_distributor_aggregation_aggregated_pushes_total",
      "Pushes merged with other pushes of their series.",
    );
    metrics.gauge(
      "pyroscope_distributor_aggregation_active_series",
      "Series observed for aggregation.",
      [],
      (g) => {
        this.sweep();
        g.set(this.series.size);
      },
    );
    metrics.gauge(
      "pyroscope_distributor_aggregation_active_aggregates",
      "Series with held pushes.",
      [],
      (g) => {
        g.set(this.held.size);
      },
    );
    metrics.gauge(
      "cinderblock_distributor_aggregation_held_bytes",
      "Size of the push bodies held for aggregation.",
      [],
      (g) => {
        g.set(this.heldBytes);
      },
    );
  }

  refuse(): void {
    this.path.refuse();
  }

  async push(tenant: string, service: string, push: SentPush, limits: Limits): Promise<PushAnswer> {
    if (limits.aggregationWindowMs <= 0 || limits.aggregationPeriodMs <= 0 || this.draining)
      return this.path.push(tenant, service, push, limits);
    const parts = pushesBySeries(
      push,
      service,
      smallerLimit(this.config.maxBytes, limits.ingestionBodyLimitBytes),
    );
    if (!parts) return this.path.push(tenant, service, push, limits);
    if (parts.length === 1) return this.forwardSeries(tenant, parts[0]!, limits);
    // A failed series does not stop the others; the client gets the first error.
    const settled = await Promise.allSettled(parts.map((p) => this.forwardSeries(tenant, p, limits)));
    const failed = settled.find((s) => s.status === "rejected");
    if (failed) throw failed.reason as Error;
    return sumPushAnswers(settled.flatMap((s) => (s.status === "fulfilled" ? [s.value] : [])));
  }

  private forwardSeries(
    tenant: string,
    { key, service, push }: SeriesPush,
    limits: Limits,
  ): Promise<PushAnswer> {
    const { aggregationPeriodMs: periodMs } = limits,
      now = performance.now(),
      id = `${tenant}\u0000${key}`;
    let series = this.series.get(id);
    const since = series ? now - series.lastMs : Infinity;
    if (!series) {
      if (this.series.size >= this.sweepAt) {
        this.sweep();
        this.sweepAt = Math.max(SWEEP_FROM, this.series.size * 2);
      }
      this.series.set(id, (series = { lastMs: now, periodMs, held: undefined }));
    }
    series.lastMs = now;
    series.periodMs = periodMs;
    const { body } = push,
      { maxBytes, maxHeldBytes } = this.config;
    if (series.held && series.held.bytes + body.length > maxBytes) this.write(series.held);
    if (!series.held && since > periodMs) return this.path.push(tenant, service, push, limits);
    const held = (series.held ??= this.hold(tenant, service, limits, series));
    held.bytes += body.length;
    this.heldBytes += body.length;
    const answer = new Promise<PushAnswer>((resolve, reject) => {
      held.pushes.push({ push, trace: this.tracer.headers(), resolve, reject });
    });
    for (const oldest of this.held) {
      if (this.heldBytes <= maxHeldBytes) break;
      this.write(oldest);
    }
    return answer;
  }

  private hold(tenant: string, service: string, limits: Limits, series: Series): Held {
    const held: Held = {
      series,
      tenant,
      service,
      limits,
      pushes: [],
      bytes: 0,
      timer: setTimeout(() => {
        this.write(held);
      }, limits.aggregationPeriodMs),
    };
    this.held.add(held);
    return held;
  }

  /** Writes the held pushes of a series; each sender gets the answer, or the error. */
  private write(held: Held): void {
    if (!this.held.delete(held)) return;
    clearTimeout(held.timer);
    this.heldBytes -= held.bytes;
    held.series.held = undefined;
    const { limits, pushes } = held,
      [first] = pushes;
    const done =
      pushes.length === 1
        ? this.forward(held, first!.push).then(first!.resolve)
        : this.forward(
            held,
            aggregateOf(
              Math.max(1, Math.round(limits.aggregationWindowMs)),
              pushes.map((p) => p.push),
            ),
          ).then(({ parts }) => {
            this.aggregated.inc(pushes.length);
            pushes.forEach((p, i) => {
              p.resolve(parts![i]!);
            });
          });
    const writing = done
      .catch((err: unknown) => {
        for (const p of pushes) p.reject(err);
      })
      .finally(() => this.writing.delete(writing));
    this.writing.add(writing);
  }

  /**
   * Writes a held push, or the aggregate of several, in the trace of one of the pushes. Spans of the others are
   * linked.
   */
  private forward({ tenant, service, limits, pushes }: Held, push: RawPush): Promise<PushAnswer> {
    const work = (): Promise<PushAnswer> => this.path.push(tenant, service, push, limits);
    if (!this.tracer.enabled) return work();
    return this.tracer.resume(
      "distributor.aggregate",
      { tenant, pushes: pushes.length },
      pushes.flatMap((p) => p.trace ?? []),
      work,
    );
  }

  /** Removes series whose next push would not be held. */
  private sweep(): void {
    const now = performance.now();
    for (const [id, s] of this.series) if (!s.held && now - s.lastMs > s.periodMs) this.series.delete(id);
  }

  /** Writes all held pushes and stops holding; resolves when every sender has its answer. */
  async drain(): Promise<void> {
    this.draining = true;
    for (const held of this.held) this.write(held);
    await Promise.all(this.writing);
  }
}
