import { gzip } from "node:zlib";
import { promisify } from "node:util";
import type { Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { profileThreads } from "@cinderblock/threads";
import { SourcePositions } from "./source-positions.ts";
import { cpuToPprof, heapToPprof } from "./to-pprof.ts";

/** A hundred samples a second, as Go; a sample for each half MiB that is allocated, as Go. */
const CPU_INTERVAL_US = 10_000,
  HEAP_INTERVAL_BYTES = 512 << 10;

/** Profiles of this process, gzipped pprof. */
export class OwnProfiles {
  private readonly positions = new SourcePositions();

  async cpu(ms: number, now: () => number): Promise<Buffer> {
    const from = now(),
      threads = await profileThreads({ kind: "cpu", ms, intervalUs: CPU_INTERVAL_US });
    return promisify(gzip)(cpuToPprof(threads, CPU_INTERVAL_US, from, now() - from, this.positions.reader()));
  }

  async heap(now: () => number): Promise<Buffer> {
    const threads = await profileThreads({ kind: "heap", intervalBytes: HEAP_INTERVAL_BYTES });
    return promisify(gzip)(heapToPprof(threads, HEAP_INTERVAL_BYTES, now(), this.positions.reader()));
  }
}

export interface SelfProfilerConfig {
  /** how long each CPU profile is, and how often they are sent */
  intervalMs: number;
  /** of every series, beside its name */
  labels: Readonly<Record<string, string>>;
  /** takes a push.v1.PushRequest in JSON */
  send: (body: Uint8Array) => Promise<void>;
}

/** Profiles this process all the time and sends what it finds, like an agent. */
export class SelfProfiler implements Service {
  readonly name = "self-profiling";
  private readonly own = new OwnProfiles();
  private readonly config: SelfProfilerConfig;
  private readonly base: Base;
  private stopped = false;
  private failing = false;
  private readonly failures: { inc(n?: number): void };

  constructor(config: SelfProfilerConfig, base: Base) {
    this.config = config;
    this.base = base;
    this.failures = base.metrics.counter(
      "cinderblock_self_profiling_failures_total",
      "Profiles of this process that could not be sent.",
    );
    this.failures.inc(0);
  }

  start(): Promise<void> {
    void this.loop();
    return Promise.resolve();
  }
  stop(): Promise<void> {
    this.stopped = true;
    return Promise.resolve();
  }

  private async loop(): Promise<void> {
    const { now } = this.base;
    while (!this.stopped) {
      try {
        const [cpu, heap] = [await this.own.cpu(this.config.intervalMs, now), await this.own.heap(now)];
        if (this.stopped) return;
        await this.config.send(
          Buffer.from(
            JSON.stringify({ series: [this.series("process_cpu", cpu), this.series("memory", heap)] }),
          ),
        );
        this.failing = false;
      } catch (err) {
        this.failures.inc();
        if (!this.failing)
          this.base.log.warn(
            { err },
            "a profile of this process could not be sent, it goes on with the next",
          );
        this.failing = true;
        await new Promise((r) => {
          setTimeout(r, 1000).unref();
        });
      }
    }
  }

  private series(name: string, profile: Buffer): object {
    return {
      labels: Object.entries({ __name__: name, ...this.config.labels }).map(([k, value]) => ({
        name: k,
        value,
      })),
      samples: [{ rawProfile: profile.toString("base64") }],
    };
  }
}
