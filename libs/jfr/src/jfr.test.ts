import { CinderblockError } from "@cinderblock/errors";
import { mutations, Random, tinyJfr } from "@cinderblock/testkit";
import { type JfrEvent, type JfrStacks, readRecording } from "./index.ts";

function read(bytes: Uint8Array): { events: string[]; setting: string } {
  const events: string[] = [];
  let stacks: JfrStacks | undefined;
  const frames = (of: number): string => {
    const methods = stacks!.methods(of);
    return methods ? [...methods].map((m) => stacks!.methodName(m) ?? "?").join("<") : "?";
  };
  const setting = readRecording(bytes, {
    chunk(s) {
      stacks = s;
    },
    event(e: JfrEvent) {
      events.push(
        `${e.kind} ${frames(e.stackTrace)} ${e.state} context=${e.contextId} bytes=${e.bytes} count=${e.count} delay=${e.durationNanos}`,
      );
    },
  });
  return { events, setting };
}
const recording = tinyJfr([
  {
    type: "ExecutionSample",
    frames: [
      ["java/lang/Thread", "run"],
      ["Main", "work"],
    ],
    contextId: 5,
  },
  { type: "ExecutionSample", frames: [["Main", "sleep"]], state: "STATE_SLEEPING" },
  {
    type: "ObjectAllocationInNewTLAB",
    frames: [["Main$$Lambda$67.0x00007f2ed80877b8", "run"]],
    tlabSize: 70_000,
  },
  { type: "JavaMonitorEnter", frames: [["Main", "lock"]], durationTicks: 12_345_678 },
  { type: "WallClockSample", frames: [["Main", "work"]], samples: 4 },
]);

describe("JFR recordings", () => {
  it("give their events with stacks, states and amounts, and the profiler's setting", () => {
    expect(read(recording)).toEqual({
      setting: "itimer",
      events: [
        "execution Main.work<java/lang/Thread.run STATE_RUNNABLE context=5 bytes=0 count=1 delay=0",
        "execution Main.sleep STATE_SLEEPING context=0 bytes=0 count=1 delay=0",
        "alloc-in-tlab Main$$Lambda$_.run  context=0 bytes=70000 count=1 delay=0",
        "monitor Main.lock  context=0 bytes=0 count=1 delay=12345678",
        "wall Main.work STATE_RUNNABLE context=0 bytes=0 count=4 delay=0",
      ],
    });
  });
  it("may have several chunks, each with constants of its own", () => {
    const other = tinyJfr([{ type: "ExecutionSample", frames: [["Other", "work"]] }]);
    expect(read(Buffer.concat([recording, other])).events.at(-1)).toContain("Other.work");
  });
  it("refuses what is no recording, is cut, or claims more than there is", () => {
    expect(() => read(Buffer.from("not a recording"))).toThrow("expected a chunk of at least 68 bytes");
    expect(() => read(recording.slice(0, recording.length - 1))).toThrow("are left");
    const fixed = recording.slice();
    new DataView(fixed.buffer).setUint32(64, 0);
    expect(() => read(fixed)).toThrow("integers of fixed width are not supported");
  });
  it("ends where checkpoints point at one another", () => {
    const events = [{ type: "ExecutionSample" as const, frames: [["Main", "work"]] as [string, string][] }];
    expect(tinyJfr(events, "cpu", true)).not.toEqual(tinyJfr(events, "cpu"));
    expect(read(tinyJfr(events, "cpu", true))).toEqual(read(tinyJfr(events, "cpu")));
  });
  it("unfolds classes inside classes, as long as they have an end", () => {
    const events = [{ type: "ExecutionSample" as const, frames: [["Main", "work"]] as [string, string][] }];
    expect(read(tinyJfr(events, "cpu", false, 8))).toEqual(read(tinyJfr(events, "cpu")));
    expect(() => read(tinyJfr(events, "cpu", false, 30))).toThrow(
      "expected classes of at most 4096 fields in all",
    );
    expect(() => read(tinyJfr(events, "cpu", false, 40))).toThrow(
      /expected classes (of at most 4096 fields|nested at most 32 deep)/,
    );
  });
  it("survives mutated recordings: an error that names the place, or events", () => {
    const random = new Random(20261124);
    const rounds = mutations(2000);
    let refused = 0;
    for (let i = 0; i < rounds; i++) {
      try {
        expect(read(random.mutate(recording)).events.length).toBeLessThan(1000);
      } catch (err) {
        if (!(err instanceof CinderblockError)) throw err;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(rounds / 20);
    expect(refused).toBeLessThan(rounds);
  });
});
