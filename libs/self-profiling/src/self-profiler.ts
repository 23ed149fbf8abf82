import { gzip } from "node:zlib";
import { promisify } from "node:util";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { profileThreads } from "@cinderblock/threads";
import { SourcePositions } from "./source-positions.ts";
import { cpuToPprof, heapToPprof } from "./to-pprof.ts";

/** Sampling rates, as in Go: 100 samples per second, and one per allocated half MiB. */
const CPU_INTERVAL_US = 10_000,
  HEAP_INTERVAL_BYTES = 512 << 10;

/** Profiles of this process as gzipped pprof. */
export class OwnProfiles {
  private readonly positions = new SourcePositions();

  async cpu(ms: number, now: () => number): Promise<Buffer> {
    const from = now(),
      threads = await profileThreads({ kind: "cpu", ms, intervalUs: CPU_INTERVAL_US });
    return promisify(gzip)(
      cpuToPprof(threads, CPU_INTERVAL_US, from, now() - from, this.positions.frameResolver()),
    );
  }

  async heap(now: () => number): Promise<Buffer> {
    const threads = await profileThreads({ kind: "heap", intervalBytes: HEAP_INTERVAL_BYTES });
    return promisify(gzip)(heapToPprof(threads, HEAP_INTERVAL_BYTES, now(), this.positions.frameResolver()));
  }
}

/** Push interval, labels and receiver of this process's profiles. */
export interface SelfProfilerConfig {
  /** duration of each CPU profile, and interval between pushes, in milliseconds */
  intervalMs: number;
  /** labels of every series, in addition to its name */
  labels: Readonly<Record<string, string>>;
  /** accepts a push.v1.PushRequest in JSON */
  send: (body: Uint8Array) => Promise<void>;
}

/** Deadline for sending a profile. */
const SEND_MS = 60_000;

/** Profiles this process continuously and sends the profiles, like an agent. */
export class SelfProfiler implements Service {
  readonly name = "self-profiling";
  private readonly own = new OwnProfiles();
  private readonly config: SelfProfilerConfig;
  private readonly base: Base;
  private readonly loop;
  private readonly failures: { inc(n?: number): void };

  constructor(config: SelfProfilerConfig, base: Base) {
    this.config = config;
    this.base = base;
    this.failures = base.metrics.counter(
      "cinderblock_self_profiling_failures_total",
      "Profiles of this process that could not be pushed.",
    );
    this.failures.inc(0);
    // A pass takes a complete period, so that the profiles have no gaps.
    const { intervalMs } = config;
    this.loop = periodic(
      {
        name: "self-profiling",
        everyMs: intervalMs,
        firstMs: 0,
        jitter: 0,
        deadlineMs: 2 * intervalMs + SEND_MS,
      },
      (signal) => this.pass(signal),
      base,
    );
  }

  start(): Promise<void> {
    this.loop.start();
    return Promise.resolve();
  }
  stop(): Promise<void> {
    return this.loop.stop(0).then(() => undefined);
  }

  private async pass(signal: AbortSignal): Promise<void> {
    const { now } = this.base;
    try {
      const [cpu, heap] = [await this.own.cpu(this.config.intervalMs, now), await this.own.heap(now)];
      if (signal.aborted) return;
      await this.config.send(
        Buffer.from(
          JSON.stringify({ series: [this.series("process_cpu", cpu), this.series("memory", heap)] }),
        ),
      );
    } catch (err) {
      this.failures.inc();
      throw err;
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
