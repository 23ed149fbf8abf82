import type { PeriodicClock } from "@cinderblock/async";
import { type Base, createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { periodic } from "./index.ts";

class Clock implements PeriodicClock {
  ms = 0;
  due: (() => void)[] = [];
  now = (): number => this.ms;
  random = (): number => 0.5;
  after = (_ms: number, run: () => void): (() => void) => {
    this.due.push(run);
    return () => {
      this.due = this.due.filter((d) => d !== run);
    };
  };
}

describe("the watchdog of a background loop", () => {
  it("counts failures, exports its age, and reports a stuck loop", async () => {
    const clock = new Clock(),
      metrics = new Metrics(),
      base: Base = {
        log: createLogger({ level: "silent", format: "logfmt" }),
        metrics,
        tracer: noTracer,
        now: () => clock.ms,
      };
    let fails = false;
    const loop = periodic(
      { name: "look", everyMs: 1000, deadlineMs: 500 },
      () => (fails ? Promise.reject(new Error("no")) : Promise.resolve()),
      base,
      clock,
    );
    const figures = async (): Promise<string[]> =>
      (await metrics.registry.metrics())
        .split("\n")
        .filter((l) => l.startsWith("cinderblock_process_loop"))
        .map((l) => l.replace("cinderblock_process_loop_", ""));
    // A loop that was not started is not stuck.
    expect(await figures()).toEqual([
      'failures_total{loop="look",late="true"} 0',
      'failures_total{loop="look",late="false"} 0',
    ]);
    loop.start();
    await loop.run();
    fails = true;
    clock.ms = 3000;
    await loop.run();
    expect(await figures()).toEqual([
      'failures_total{loop="look",late="true"} 0',
      'failures_total{loop="look",late="false"} 1',
      'success_age_seconds{loop="look"} 3',
      'stuck{loop="look"} 0',
    ]);
    clock.ms = 3501;
    expect((await figures()).at(-1)).toBe('stuck{loop="look"} 1');
    fails = false;
    await loop.run();
    expect((await figures()).at(-1)).toBe('stuck{loop="look"} 0');
    await loop.stop();
    expect(await figures()).toHaveLength(2);
  });
});
