import { CinderblockError } from "@cinderblock/errors";
import { type PassEnd, Periodic, type PeriodicClock, type PeriodicConfig } from "./periodic.ts";
import { Deferred } from "./timing.ts";

const turns = async (): Promise<void> => {
  for (let i = 0; i < 30; i++) await Promise.resolve();
};

/** A clock that the test advances. */
class Clock implements PeriodicClock {
  ms = 0;
  chance = 0.5;
  private timers: { atMs: number; run: () => void }[] = [];
  now = (): number => this.ms;
  random = (): number => this.chance;
  after = (ms: number, run: () => void): (() => void) => {
    const timer = { atMs: this.ms + ms, run };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((t) => t !== timer);
    };
  };
  get waiting(): number {
    return this.timers.length;
  }
  async pass(ms: number): Promise<void> {
    const end = this.ms + ms;
    for (;;) {
      await turns();
      const next = this.timers.filter((t) => t.atMs <= end).sort((a, b) => a.atMs - b.atMs)[0];
      if (!next) break;
      this.timers = this.timers.filter((t) => t !== next);
      this.ms = next.atMs;
      next.run();
    }
    this.ms = end;
    await turns();
  }
}

/** A loop whose passes end on the test's command. */
class Subject {
  readonly clock = new Clock();
  readonly began: number[] = [];
  readonly passes: { work: Deferred<void>; signal: AbortSignal }[] = [];
  readonly ends: PassEnd[] = [];
  atOnce = true;
  readonly loop: Periodic;
  constructor(config: Partial<PeriodicConfig> = {}) {
    this.loop = new Periodic(
      { everyMs: 100, deadlineMs: 50, jitter: 0, ...config },
      (signal) => {
        this.began.push(this.clock.ms);
        const work = new Deferred<void>();
        this.passes.push({ work, signal });
        if (this.atOnce) work.resolve();
        return work.promise;
      },
      (end) => this.ends.push(end),
      this.clock,
    );
  }
}

describe("a periodic loop", () => {
  it("starts a pass every period, and the first one as configured", async () => {
    const s = new Subject();
    s.loop.start();
    await s.clock.pass(350);
    expect(s.began).toEqual([100, 200, 300]);
    const t = new Subject({ firstMs: 0 });
    t.loop.start();
    await t.clock.pass(150);
    expect(t.began).toEqual([0, 100]);
  });

  it("runs one pass at a time: a call during a pass joins it, one between passes moves the next", async () => {
    const s = new Subject();
    s.atOnce = false;
    s.loop.start();
    await s.clock.pass(30);
    const both = Promise.all([s.loop.run(), s.loop.run()]);
    await turns();
    expect(s.began).toEqual([30]);
    s.passes[0]!.work.resolve();
    await both;
    await s.clock.pass(99);
    expect(s.began).toEqual([30]);
    await s.clock.pass(2);
    expect(s.began).toEqual([30, 130]);
  });

  it("spreads its passes by the jitter", async () => {
    const s = new Subject({ jitter: 0.2 });
    s.clock.chance = 0;
    s.loop.start();
    await s.clock.pass(85);
    s.clock.chance = 1;
    await s.clock.pass(80);
    s.loop.start();
    await s.clock.pass(100);
    expect(s.began).toEqual([80, 160]);
  });

  it("aborts and reports a late pass; the next pass waits for its end", async () => {
    const s = new Subject();
    s.atOnce = false;
    s.loop.start();
    await s.clock.pass(150);
    expect(s.passes[0]!.signal.aborted).toBe(true);
    expect(s.ends).toEqual([{ ok: false, late: true, err: expect.any(CinderblockError) as unknown }]);
    s.atOnce = true;
    await s.clock.pass(60);
    expect(s.began).toEqual([100]);
    s.passes[0]!.work.resolve();
    await s.clock.pass(1);
    expect(s.began).toEqual([100, 210]);
    expect(s.ends[1]).toEqual({ ok: true });
  });

  it("continues without a pass that never ends", async () => {
    const s = new Subject();
    s.atOnce = false;
    s.loop.start();
    await s.clock.pass(160);
    s.atOnce = true;
    await s.clock.pass(100);
    // The period, and one more deadline.
    expect(s.began).toEqual([100, 250]);
    expect(s.ends[1]).toEqual({ ok: true });
  });

  it("backs off after each failure up to a bound, and returns to its period", async () => {
    const t = new Subject({ backoffMs: 350 });
    const bad = new Periodic(
      { everyMs: 100, deadlineMs: 50, jitter: 0, backoffMs: 350 },
      () => {
        t.began.push(t.clock.ms);
        return t.began.length < 5 ? Promise.reject(new Error("no")) : Promise.resolve();
      },
      (end) => t.ends.push(end),
      t.clock,
    );
    bad.start();
    await t.clock.pass(1600);
    expect(t.began).toEqual([100, 300, 650, 1000, 1350, 1450, 1550]);
  });

  it("reports work that throws synchronously", async () => {
    const clock = new Clock(),
      ends: PassEnd[] = [];
    const loop = new Periodic(
      { everyMs: 100, deadlineMs: 50 },
      () => {
        throw new Error("at once");
      },
      (end) => ends.push(end),
      clock,
    );
    await loop.run();
    expect(ends).toEqual([{ ok: false, late: false, err: new Error("at once") }]);
  });

  it("stops: aborts the pass, waits for its end within a bound, and starts no other", async () => {
    const s = new Subject();
    s.atOnce = false;
    s.loop.start();
    await s.clock.pass(100);
    const stopped = s.loop.stop(1000);
    expect(s.passes[0]!.signal.aborted).toBe(true);
    s.passes[0]!.work.reject(new Error("aborted"));
    await turns();
    expect(await stopped).toBe(true);
    await s.loop.run();
    s.loop.start();
    await s.clock.pass(1000);
    expect(s.began).toEqual([100]);
    expect(s.ends).toEqual([]);
    expect(s.clock.waiting).toBe(0);
  });

  it("stops even if its pass never ends", async () => {
    const s = new Subject();
    s.atOnce = false;
    s.loop.start();
    await s.clock.pass(100);
    const stopped = s.loop.stop(1000);
    await s.clock.pass(1000);
    expect(await stopped).toBe(false);
  });
});
