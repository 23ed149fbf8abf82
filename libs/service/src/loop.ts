import { type PassEnd, Periodic, type PeriodicClock, type PeriodicConfig } from "@cinderblock/async";
import type { Base } from "@cinderblock/telemetry";

/** Periods without a successful pass after which a loop counts as stuck. */
const STUCK_PERIODS = 3;

/** Interval between log lines while passes fail. */
const LOG_EVERY_MS = 60_000;

/** Name, period and deadline of a background loop. */
export interface LoopConfig extends PeriodicConfig {
  /** constant name, for metrics and logs: `shipper` */
  name: string;
}

/**
 * A background loop of a process with a watchdog: metrics for alerts, and log lines. It logs when passes
 * begin to fail, at most once a minute while they fail, and when they succeed again.
 */
export function periodic(
  config: LoopConfig,
  work: (signal: AbortSignal) => Promise<unknown>,
  base: Base,
  clock?: PeriodicClock,
): Periodic {
  const { name: loop } = config,
    { metrics, log } = base,
    failures = metrics.counter(
      "cinderblock_process_loop_failures_total",
      "Failed or late passes of background loops.",
      ["loop", "late"],
    );
  for (const late of ["true", "false"]) failures.inc({ loop, late }, 0);
  const nowMs = clock?.now ?? (() => performance.now());
  let successMs = nowMs(),
    failing = false,
    loggedMs = -Infinity;
  const onEnd = (end: PassEnd): void => {
    if (end.ok) {
      if (failing) log.info({ loop }, "background loop recovered");
      failing = false;
      successMs = nowMs();
      return;
    }
    failures.inc({ loop, late: String(end.late) });
    if (failing && nowMs() - loggedMs < LOG_EVERY_MS) return;
    failing = true;
    loggedMs = nowMs();
    log.warn(
      { loop, late: end.late, everyMs: config.everyMs, deadlineMs: config.deadlineMs, err: end.err },
      "pass of a background loop failed, retrying",
    );
  };
  const made = new Periodic(config, work, onEnd, clock);
  const gauge = (name: string, help: string, value: () => number): void => {
    metrics.gauge(name, help, ["loop"], (g) => {
      if (made.isActive) g.set({ loop }, value());
    });
  };
  gauge(
    "cinderblock_process_loop_success_age_seconds",
    "Time since the last successful pass of a background loop, or since its start.",
    () => (nowMs() - successMs) / 1000,
  );
  gauge(
    "cinderblock_process_loop_stuck",
    "1 while a background loop has had no successful pass for three periods and a deadline.",
    () => (nowMs() - successMs > STUCK_PERIODS * config.everyMs + config.deadlineMs ? 1 : 0),
  );
  return made;
}
