import { CinderblockError } from "@cinderblock/errors";

/** Timing of a background loop. */
export interface PeriodicConfig {
  /** milliseconds from the start of one pass to the start of the next */
  everyMs: number;
  /** maximum duration of a pass; a longer one is aborted and counts as failed */
  deadlineMs: number;
  /** random fraction of the period, so that processes do not act at the same time; default 0.1 */
  jitter?: number;
  /** maximum pause after failures, which double the pause from the period on; default: the period */
  backoffMs?: number;
  /** milliseconds until the first pass; default: one period */
  firstMs?: number;
}

/** End of one pass, for a watchdog. */
export type PassEnd = { ok: true } | { ok: false; late: boolean; err: unknown };

/** Timers and randomness; tests replace them. */
export interface PeriodicClock {
  now: () => number;
  after: (ms: number, run: () => void) => () => void;
  random: () => number;
}

const SYSTEM: PeriodicClock = {
  now: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
  random: Math.random,
};

/** Maximum delay of a timer. */
const MAX_TIMER_MS = 0x7fffffff;

/**
 * A background loop with one pass at a time and a deadline per pass. The next pass starts a jittered period
 * later, or after failures with a growing pause. A pass that does not end on abort is abandoned after one
 * more deadline, so that it stops neither the loop nor the process (docs/correctness.md, "Every wait has a
 * deadline").
 */
export class Periodic {
  private readonly config: PeriodicConfig;
  private readonly work: (signal: AbortSignal) => Promise<unknown>;
  private readonly onEnd: (end: PassEnd) => void;
  private readonly clock: PeriodicClock;
  private cancel: (() => void) | undefined;
  private running: Promise<void> | undefined;
  /** promise of the last pass's work, which may continue after its deadline */
  private unended: Promise<unknown> | undefined;
  private aborter = new AbortController();
  private failures = 0;
  private started = false;
  private stopped = false;

  constructor(
    config: PeriodicConfig,
    work: (signal: AbortSignal) => Promise<unknown>,
    onEnd: (end: PassEnd) => void,
    clock: PeriodicClock = SYSTEM,
  ) {
    this.config = config;
    this.work = work;
    this.onEnd = onEnd;
    this.clock = clock;
  }

  start(): void {
    if (this.started || this.stopped) return;
    this.started = true;
    this.schedule(this.config.firstMs ?? this.pauseMs());
  }

  /** Whether the loop starts passes by itself. */
  get isActive(): boolean {
    return this.started && !this.stopped;
  }

  private pauseMs(): number {
    const { everyMs, jitter = 0.1, backoffMs = everyMs } = this.config,
      wanted = Math.max(everyMs, Math.min(everyMs * 2 ** this.failures, backoffMs));
    return wanted * (1 - jitter + 2 * jitter * this.clock.random());
  }

  private schedule(ms: number): void {
    this.cancel?.();
    if (!this.started || this.stopped) return;
    this.cancel = this.clock.after(Math.min(Math.max(0, ms), MAX_TIMER_MS), () => {
      this.cancel = undefined;
      void this.run();
    });
  }

  /**
   * Runs a pass now, or joins the running one; the next pass starts a period later. Never rejects: `onEnd`
   * receives the error.
   */
  run(): Promise<void> {
    if (this.stopped) return this.running ?? Promise.resolve();
    this.running ??= this.pass().finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  private async pass(): Promise<void> {
    const began = this.clock.now();
    let end: PassEnd;
    // An abandoned pass has already had its deadline, and gets one more.
    if (this.unended) await this.bounded(this.unended, this.config.deadlineMs);
    this.aborter = new AbortController();
    const { signal } = this.aborter;
    try {
      const work = this.stopped ? Promise.resolve() : this.work(signal);
      const ended = work.then(
        () => undefined,
        () => undefined,
      );
      this.unended = ended;
      void ended.then(() => {
        if (this.unended === ended) this.unended = undefined;
      });
      if (await this.bounded(ended, this.config.deadlineMs)) {
        await work;
        end = { ok: true };
      } else {
        const err = new CinderblockError(
          "deadline",
          `the pass did not finish within ${this.config.deadlineMs} ms`,
        );
        this.aborter.abort(err);
        end = { ok: false, late: true, err };
      }
    } catch (err) {
      end = { ok: false, late: false, err };
    }
    this.failures = end.ok ? 0 : this.failures + 1;
    if (!this.stopped || end.ok) this.onEnd(end);
    this.schedule(this.pauseMs() - (this.clock.now() - began));
  }

  /** Waits for a promise that never rejects. @returns whether it ended in time */
  private bounded(ended: Promise<unknown>, ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.clock.after(Math.min(ms, MAX_TIMER_MS), () => resolve(false));
      void ended.then(() => {
        cancel();
        resolve(true);
      });
    });
  }

  /**
   * Ends the loop: aborts the running pass and waits for its end.
   * @returns whether it ended within `boundMs`
   */
  async stop(boundMs = this.config.deadlineMs): Promise<boolean> {
    this.stopped = true;
    this.cancel?.();
    this.cancel = undefined;
    this.aborter.abort(new CinderblockError("canceled", "the process is shutting down"));
    const { unended } = this;
    return unended === undefined || this.bounded(unended, boundMs);
  }
}
