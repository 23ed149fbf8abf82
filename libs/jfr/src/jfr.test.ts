import { CinderblockError } from "@cinderblock/errors";
import { mutations, Random, tinyJfr } from "@cinderblock/testkit";
import { mergeGeneratedName } from "./generated-names.ts";
import {
  CONTEXT_ID,
  type JfrEvent,
  type JfrStacks,
  readRecording,
  SPAN_ID,
  SPAN_NAME,
  TRACE_HIGH,
  TRACE_LOW,
} from "./index.ts";

function read(bytes: Uint8Array): { events: string[]; setting: string } {
  const events: string[] = [];
  let stacks: JfrStacks | undefined;
  const frames = (of: number): string =>
    [...(stacks!.frames(of) ?? [])]
      .map((frame) => `${stacks!.frameName(frame) ?? "?"}:${stacks!.frameLine(frame)}`)
      .join("<");
  const setting = readRecording(bytes, {
    chunk(s) {
      stacks = s;
    },
    event(e: JfrEvent) {
      events.push(
        `${e.kind} ${frames(e.stackTrace)} ${e.state} context=${e.ids[CONTEXT_ID]} bytes=${e.bytes} count=${e.count} delay=${e.durationNanos}`,
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
  it("return their events with stacks, states and amounts, and the profiler's setting", () => {
    expect(read(recording)).toEqual({
      setting: "itimer",
      events: [
        "execution Main.work:7<java/lang/Thread.run:7 STATE_RUNNABLE context=5 bytes=0 count=1 delay=0",
        "execution Main.sleep:7 STATE_SLEEPING context=0 bytes=0 count=1 delay=0",
        "alloc-in-tlab Main$$Lambda_.run:7 undefined context=0 bytes=70000 count=1 delay=0",
        "monitor Main.lock:7 undefined context=0 bytes=0 count=1 delay=12345678",
        "wall Main.work:7 STATE_RUNNABLE context=0 bytes=0 count=4 delay=0",
      ],
    });
  });
  it("give lines of frames: two lines of one method are two frames", () => {
    const { events } = read(
      tinyJfr([
        {
          type: "ExecutionSample",
          frames: [
            ["Main", "main", 0],
            ["Main", "work", 12],
            ["Main", "work", 65_535],
          ],
        },
      ]),
    );
    expect(events[0]).toContain("Main.work:65535<Main.work:12<Main.main:0");
  });
  it("give 64-bit IDs of spans and traces without loss", () => {
    const ids: string[] = [];
    readRecording(
      tinyJfr([
        {
          type: "ExecutionSample",
          frames: [["Main", "work"]],
          spanId: 0xfedc_ba98_7654_3210n,
          spanName: 3,
          traceHigh: 0x0123_4567_89ab_cdefn,
          traceLow: 0x8000_0000_0000_0001n,
        },
        { type: "WallClockSample", frames: [["Main", "work"]], spanId: 1n << 32n },
        { type: "LiveObject", frames: [["Main", "work"]] },
      ]),
      {
        chunk() {},
        event: ({ ids: of }) =>
          ids.push(
            [SPAN_ID, SPAN_NAME, TRACE_HIGH, TRACE_LOW]
              .map((at) => ((BigInt(of[at + 1]!) << 32n) | BigInt(of[at]!)).toString(16))
              .join(" "),
          ),
      },
    );
    expect(ids).toEqual([
      "fedcba9876543210 3 123456789abcdef 8000000000000001",
      "100000000 0 0 0",
      "0 0 0 0",
    ]);
  });
  it("give durations in nanoseconds, whatever the clock's frequency", () => {
    const lock = tinyJfr([{ type: "JavaMonitorEnter", frames: [["Main", "lock"]], durationTicks: 7000 }]);
    expect(read(lock).events[0]).toContain("delay=7000");
    new DataView(lock.buffer).setBigUint64(56, 2_800_000_000n);
    expect(read(lock).events[0]).toContain("delay=2500");
  });
  it("may have several chunks with separate constants", () => {
    const other = tinyJfr([{ type: "ExecutionSample", frames: [["Other", "work"]] }]);
    expect(read(Buffer.concat([recording, other])).events.at(-1)).toContain("Other.work");
  });
  it("refuses other files, truncated recordings, and impossible counts", () => {
    expect(() => read(Buffer.from("not a recording"))).toThrow("expected a chunk of at least 68 bytes");
    expect(() => read(recording.slice(0, recording.length - 1))).toThrow("bytes left");
    const fixed = recording.slice();
    new DataView(fixed.buffer).setUint32(64, 0);
    expect(() => read(fixed)).toThrow("fixed-width integers are not supported");
  });
  it("ends when checkpoints form a loop", () => {
    const events = [{ type: "ExecutionSample" as const, frames: [["Main", "work"]] as [string, string][] }];
    expect(tinyJfr(events, "cpu", true)).not.toEqual(tinyJfr(events, "cpu"));
    expect(read(tinyJfr(events, "cpu", true))).toEqual(read(tinyJfr(events, "cpu")));
  });
  it("flattens nested classes, if nesting is finite", () => {
    const events = [{ type: "ExecutionSample" as const, frames: [["Main", "work"]] as [string, string][] }];
    expect(read(tinyJfr(events, "cpu", false, 8))).toEqual(read(tinyJfr(events, "cpu")));
    expect(() => read(tinyJfr(events, "cpu", false, 30))).toThrow(
      "expected classes with at most 4096 fields in total",
    );
    expect(() => read(tinyJfr(events, "cpu", false, 40))).toThrow(
      /expected classes (of at most 4096 fields|nested at most 32 deep)/,
    );
  });
  it("survives mutated recordings: an error with its position, or events", () => {
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

describe("generated names", () => {
  it.each([
    ["a/B$$Lambda$4/1283928880", "a/B$$Lambda_"],
    ["a/B$$Lambda$8/0x0000000800c01220", "a/B$$Lambda_"],
    ["a/B$$Lambda$669.0x0000000800fd7318", "a/B$$Lambda_"],
    ["Fib$$Lambda.0x00007ffa600c4da0", "Fib$$Lambda_"],
    ["Fib$$Lambda/0x00007ffa600c4da0", "Fib$$Lambda_"],
    ["Fib$$Lambda17", "Fib$$Lambda_"],
    ["Fib$$Lambda", "Fib$$Lambda"],
    ["Fib$$LambdaForm$MH/0x0800c", "Fib$$LambdaForm$MH/0x0800c"],
    ["a/B$$EnhancerBySpringCGLIB$$1234567890", "a/B$$EnhancerBySpringCGLIB$$_"],
    [
      "a/B$$EnhancerBySpringCGLIB$$1$$FastClassBySpringCGLIB$$a$$Lambda$7/0x08",
      "a/B$$EnhancerBySpringCGLIB$$_",
    ],
    ["jdk/internal/reflect/GeneratedMethodAccessor31", "jdk/internal/reflect/GeneratedMethodAccessor_"],
    ["jdk/internal/reflect/GeneratedMethodAccessorImpl", "jdk/internal/reflect/GeneratedMethodAccessorImpl"],
    ["libzstd-jni-1.5.1-16931311898282279136.so", "libzstd-jni-_.so"],
    ["/tmp/libzstd-jni-1.5.5-117.so (deleted)", "libzstd-jni-_.so"],
    ["/opt/libzstd-jni-1.5.5-117.so", "/opt/libzstd-jni-1.5.5-117.so"],
    ["./tmp/libamazonCorrettoCryptoProvider109b39cf33c563eb.so", "libamazonCorrettoCryptoProvider_.so"],
    [
      "amazonCorrettoCryptoProviderNativeLibraries.7382c2f79097f415/libcrypto.so (deleted)",
      "libamazonCorrettoCryptoProvider_.so",
    ],
    ["libasyncProfiler-linux-x64-17b9a1d8156277a98ccc871afa9a8f69215f92.so", "libasyncProfiler-_.so"],
    ["libasyncProfiler-linux-x64-1.so", "libasyncProfiler-linux-x64-1.so"],
    ["java/util/concurrent/Executors$RunnableAdapter", "java/util/concurrent/Executors$RunnableAdapter"],
  ])("%s", (name, merged) => {
    expect(mergeGeneratedName(name)).toBe(merged);
  });
  it("are merged in classes and methods", () => {
    const [event] = read(
      tinyJfr([
        {
          type: "ExecutionSample",
          frames: [["./tmp/libzstd-jni-1.5.1-4.so (deleted)", "Fib$$Lambda$7/0x08"]],
        },
      ]),
    ).events;
    expect(event).toContain("libzstd-jni-_.so.Fib$$Lambda_:7 ");
  });
});
