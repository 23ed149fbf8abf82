import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

/** Histogram buckets for durations, in seconds. */
export const timeBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100];
/** Histogram buckets for sizes, in bytes. */
export const sizeBuckets = [1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864];

/** Observations of one series of a histogram. */
export interface Observations {
  labels: Record<string, string>;
  /** bucket -> observations in it alone; the last bucket has no upper bound */
  counts: readonly number[];
  sum: number;
}

/**
 * Registry of one process. Metrics of v1 keep v1's names; new ones are
 * `cinderblock_<component>_<noun>_<unit>`.
 */
export class Metrics {
  readonly registry = new Registry();
  private readonly collectors = new Map<string, ((g: Gauge) => void | Promise<void>)[]>();
  private readonly made = new Map<string, Counter | Gauge | Histogram>();

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  private once<T extends Counter | Gauge | Histogram>(name: string, make: () => T): T {
    let m = this.made.get(name);
    if (!m) this.made.set(name, (m = make()));
    return m as T;
  }

  counter(name: string, help: string, labelNames: string[] = []): Counter {
    return this.once(name, () => new Counter({ name, help, labelNames, registers: [this.registry] }));
  }
  /**
   * @param collect sets all values on each scrape, which first clears the old ones. Several callers may each
   * set their own values, such as the rings of one process
   */
  gauge(
    name: string,
    help: string,
    labelNames: string[] = [],
    collect?: (g: Gauge) => void | Promise<void>,
  ): Gauge {
    const all = this.collectors.get(name) ?? [];
    if (collect) {
      all.push(collect);
      this.collectors.set(name, all);
    }
    return this.once(
      name,
      () =>
        new Gauge({
          name,
          help,
          labelNames,
          registers: [this.registry],
          ...(collect
            ? {
                async collect(this: Gauge) {
                  if (labelNames.length > 0) this.reset();
                  for (const c of all) await c(this);
                },
              }
            : {}),
        }),
    );
  }
  /** @param collect sets all values on each scrape, as counted elsewhere, such as in other threads */
  counterFrom(name: string, help: string, labelNames: string[], collect: (c: Counter) => void): Counter {
    return this.once(
      name,
      () =>
        new Counter({
          name,
          help,
          labelNames,
          registers: [this.registry],
          collect(this: Counter) {
            this.reset();
            collect(this);
          },
        }),
    );
  }
  /**
   * Exports a histogram that is counted elsewhere.
   * @param buckets upper bounds, ascending
   * @param read current observations, on each scrape; absent series are left out
   */
  histogramFrom(name: string, help: string, buckets: readonly number[], read: () => Observations[]): void {
    const get = (): object => ({
      name,
      help,
      type: "histogram",
      aggregator: "sum",
      values: read().flatMap(({ labels, counts, sum }) => {
        let total = 0;
        const rows = [...buckets, "+Inf"].map((le, i) => ({
          metricName: `${name}_bucket`,
          labels: { ...labels, le },
          value: (total += counts[i]!),
        }));
        return [
          ...rows,
          { metricName: `${name}_sum`, labels, value: sum },
          { metricName: `${name}_count`, labels, value: total },
        ];
      }),
    });
    this.registry.registerMetric({ name, get: () => Promise.resolve(get()) } as unknown as Histogram);
  }
  histogram(name: string, help: string, labelNames: string[], buckets: number[]): Histogram {
    return this.once(
      name,
      () => new Histogram({ name, help, labelNames, buckets, registers: [this.registry] }),
    );
  }
}
