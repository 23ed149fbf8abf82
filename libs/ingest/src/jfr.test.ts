import { gzipSync } from "node:zlib";
import { loadHasher } from "@cinderblock/bytes";
import { labelsText } from "@cinderblock/model";
import { encodePprof, PprofDecoder } from "@cinderblock/pprof";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { tinyJfr, type TinyJfrEvent } from "@cinderblock/testkit";
import { type ProcessedProfile, PushProcessor, RateGate, stringAt } from "./index.ts";
import { FrameBudget } from "./frame-budget.ts";
import { jfrProfilesOf, NO_JFR_LABELS } from "./jfr.ts";
import { StackBuilders } from "./stack-builder.ts";
import { framesOf } from "./testing.ts";

const NOW = 1_795_409_460_000;

/** A protobuf field: an integer or bytes. */
function field(number: number, value: number | readonly number[]): number[] {
  return typeof value === "number" ? [number * 8, value] : [number * 8 + 2, value.length, ...value];
}
/** LabelsSnapshot (docs/formats/jfr.md); `contexts`: ID -> [number of a name, number of a value]. */
function snapshot(
  strings: Record<number, string>,
  contexts: Record<number, readonly [number, number]> = {},
): Uint8Array {
  return Uint8Array.from([
    ...Object.entries(contexts).flatMap(([id, [name, value]]) =>
      field(1, [...field(1, Number(id)), ...field(2, field(1, [...field(1, name), ...field(2, value)]))]),
    ),
    ...Object.entries(strings).flatMap(([id, text]) =>
      field(2, [...field(1, Number(id)), ...field(2, [...Buffer.from(text)])]),
    ),
  ]);
}

/** Rows `__name__ type value root:line;…;leaf:line {span_name, region} span trace` of a recording, in a form. */
async function rowsOf(recording: Uint8Array, labels = snapshot({}), sampleRate = 100): Promise<string[]> {
  const rows: string[] = [];
  const processor = new PushProcessor(await loadHasher(), {
    append: (_tenant: string, p: ProcessedProfile) => {
      const t = p.profile.tables;
      for (const g of p.groups)
        for (const s of g.samples)
          for (let k = 0; k < t.sampleTypes; k++) {
            const id = (ids: Uint8Array | undefined, size: number): string => {
              const hex = ids ? Buffer.from(ids.slice(s * size, (s + 1) * size)).toString("hex") : "";
              return /[^0]/.test(hex) ? ` ${hex}` : "";
            };
            const { spans } = p.ids;
            rows.push(
              `${g.labels.find((l) => l.name === "__name__")!.value} ${stringAt(t, t.typeType.data[k]!)} ` +
                `${t.value.data[t.sampleValues.data[s]! + k]} ` +
                framesOf(p, s, (name, line) => `${name}:${line}`).join(";") +
                ` ${labelsText(g.labels.filter((l) => l.name === "span_name" || l.name === "region"))}` +
                id(spans && new Uint8Array(spans.buffer, spans.byteOffset, spans.byteLength), 8) +
                id(p.ids.traces, 16),
            );
          }
    },
  });
  const body = Buffer.concat(
    Object.entries({ jfr: recording, labels }).flatMap(([name, part]) => [
      Buffer.from(`--B\r\nContent-Disposition: form-data; name="${name}"; filename="${name}"\r\n\r\n`),
      gzipSync(part),
      Buffer.from(`\r\n${name === "labels" ? "--B--\r\n" : ""}`),
    ]),
  );
  const { error } = processor.process(
    "t",
    {
      kind: "ingest",
      body,
      request: {
        app: "shop",
        tags: [],
        format: "jfr",
        boundary: "B",
        spyName: "x",
        sampleRate,
        fromNanos: BigInt(NOW) * 1_000_000n,
        durationNanos: 10_000_000_000n,
      },
    },
    TEST_LIMITS,
    new RateGate(new SharedArrayBuffer(8)),
    NOW,
  );
  if (error) throw error;
  return rows.sort();
}

describe("profiles of a JFR recording", () => {
  it("have the period of v1; allocations of malloc have none", () => {
    const frames: TinyJfrEvent["frames"] = [["libc.so", "malloc"]];
    const { profiles } = jfrProfilesOf(
      tinyJfr([
        { type: "ExecutionSample", frames },
        { type: "Malloc", frames, bytes: 64 },
      ]),
      NO_JFR_LABELS,
      100,
      1n,
      1n,
      new StackBuilders(),
      new FrameBudget(0),
    );
    const decoder = new PprofDecoder();
    expect(
      profiles.map((p) => {
        const t = decoder.decode(encodePprof(p.header, p.source));
        return [p.name, stringAt(t, t.periodType), stringAt(t, t.periodUnit)];
      }),
    ).toEqual([
      ["process_cpu", "cpu", "nanoseconds"],
      ["memory", "", ""],
    ]);
  });
  it("have the time and the duration of the push, and v1's types for each kind of event", () => {
    const at = (type: TinyJfrEvent["type"], more: Partial<TinyJfrEvent> = {}): TinyJfrEvent => ({
      type,
      frames: [["Main", type]],
      ...more,
    });
    const { profiles } = jfrProfilesOf(
      tinyJfr([
        at("ObjectAllocationSample", { bytes: 4096 }),
        at("ThreadPark", { durationTicks: 77 }),
        at("LiveObject"),
        at("Malloc", { bytes: 64 }),
        at("Malloc", { bytes: 16 }),
      ]),
      NO_JFR_LABELS,
      100,
      1_795_409_460_000_000_000n,
      5_000_000_000n,
      new StackBuilders(),
      new FrameBudget(0),
    );
    const decoder = new PprofDecoder();
    expect(
      profiles.map(({ name, header, source }) => {
        const t = decoder.decode(encodePprof(header, source)),
          text = (i: number): string => stringAt(t, i);
        return [
          name,
          Array.from(
            { length: t.sampleTypes },
            (_, k) => `${text(t.typeType.data[k]!)}/${text(t.typeUnit.data[k]!)} ${t.value.data[k]}`,
          ).join(", "),
          `${text(t.periodType)}/${text(t.periodUnit)}`,
          t.timeNanos,
          t.durationNanos,
        ];
      }),
    ).toEqual(
      [
        ["memory", "alloc_sample_objects/count 1, alloc_sample_bytes/bytes 4096", "space/bytes"],
        ["block", "contentions/count 1, delay/nanoseconds 77", "block/count"],
        ["memory", "live/count 1", "objects/count"],
        ["memory", "malloc_objects/count 2, malloc_bytes/bytes 80", "/"],
      ].map((row) => [...row, 1_795_409_460_000_000_000n, 5_000_000_000n]),
    );
  });
  it("of several chunks have each chunk's stacks, although their IDs begin again", async () => {
    const sample = (method: string): TinyJfrEvent => ({
      type: "ExecutionSample",
      frames: [
        ["Main", "main", 3],
        ["Main", method, 12],
      ],
    });
    const chunks = [tinyJfr([sample("a"), sample("b")]), tinyJfr([sample("c"), sample("a"), sample("a")])];
    expect(await rowsOf(Buffer.concat(chunks))).toEqual([
      "process_cpu cpu 10000000 Main.main:3;Main.b:12 {}",
      "process_cpu cpu 10000000 Main.main:3;Main.c:12 {}",
      "process_cpu cpu 30000000 Main.main:3;Main.a:12 {}",
    ]);
  });
  it("with times are refused at a sample rate of 0; others need no rate", async () => {
    const at = (type: TinyJfrEvent["type"]): TinyJfrEvent => ({ type, frames: [["Main", "a", 1]] });
    const live = at("LiveObject");
    expect(await rowsOf(tinyJfr([live]), snapshot({}), 0)).toEqual(["memory live 1 Main.a:1 {}"]);
    for (const [type, setting, time] of [
      ["ExecutionSample", "cpu", "cpu"],
      ["WallClockSample", "cpu", "wall"],
    ] as const)
      await expect(rowsOf(tinyJfr([live, at(type)], setting), snapshot({}), 0)).rejects.toThrow(
        `sampleRate: 0 samples a second leave no time to the recording's samples of ${time} time`,
      );
    const asleep = tinyJfr([live, { ...at("ExecutionSample"), state: "STATE_SLEEPING" }], "cpu");
    expect(await rowsOf(asleep, snapshot({}), 0)).toEqual(["memory live 1 Main.a:1 {}"]);
  });
  it("keep the lines of frames", async () => {
    const work = (line: number): TinyJfrEvent => ({
      type: "ExecutionSample",
      frames: [
        ["Main", "main", 3],
        ["Main", "work", line],
      ],
    });
    expect(await rowsOf(tinyJfr([work(12), work(40), work(12)]))).toEqual([
      "process_cpu cpu 10000000 Main.main:3;Main.work:40 {}",
      "process_cpu cpu 20000000 Main.main:3;Main.work:12 {}",
    ]);
  });

  it("keep span, span name and trace of each event with the labels of its context", async () => {
    const at = (method: string): TinyJfrEvent => ({ type: "ExecutionSample", frames: [["Main", method, 1]] });
    const trace = { traceHigh: 0x0123_4567_89ab_cdefn, traceLow: 0xfedc_ba98_7654_3210n };
    expect(
      await rowsOf(
        tinyJfr(
          [
            { ...at("a"), spanId: 0xefn, spanName: 3, contextId: 1, ...trace },
            { ...at("a"), spanId: 0xefn, spanName: 3, contextId: 1, ...trace },
            { ...at("b"), spanId: 0xfedc_ba98_7654_3210n, spanName: 4 },
            { ...at("c"), spanName: 5 },
            { ...at("d"), traceLow: 1n },
            at("e"),
            { ...at("w"), type: "WallClockSample", samples: 3, spanId: 0xefn, spanName: 3 },
            { ...at("lock"), type: "JavaMonitorEnter", durationTicks: 9, spanId: 0xefn },
            { ...at("tlab"), type: "ObjectAllocationInNewTLAB", tlabSize: 9, spanId: 0xefn },
            { ...at("big"), type: "ObjectAllocationOutsideTLAB", bytes: 9, spanId: 0xefn },
          ],
          "cpu",
        ),
        snapshot({ 1: "region", 2: "north", 3: "GET /cart", 4: "POST /pay" }, { 1: [1, 2] }),
      ),
    ).toEqual([
      "memory alloc_in_new_tlab_bytes 9 Main.tlab:1 {} 00000000000000ef",
      "memory alloc_in_new_tlab_objects 1 Main.tlab:1 {} 00000000000000ef",
      "memory alloc_outside_tlab_bytes 9 Main.big:1 {} 00000000000000ef",
      "memory alloc_outside_tlab_objects 1 Main.big:1 {} 00000000000000ef",
      "mutex contentions 1 Main.lock:1 {} 00000000000000ef",
      "mutex delay 9 Main.lock:1 {} 00000000000000ef",
      'process_cpu cpu 10000000 Main.b:1 {span_name="POST /pay"} fedcba9876543210',
      "process_cpu cpu 10000000 Main.c:1 {}",
      "process_cpu cpu 10000000 Main.d:1 {} 00000000000000000000000000000001",
      "process_cpu cpu 10000000 Main.e:1 {}",
      'process_cpu cpu 20000000 Main.a:1 {region="north", span_name="GET /cart"} 00000000000000ef 0123456789abcdeffedcba9876543210',
      'wall wall 30000000 Main.w:1 {span_name="GET /cart"} 00000000000000ef',
    ]);
  });

  describe("of wall clock and CPU", () => {
    const events: TinyJfrEvent[] = [
      { type: "ExecutionSample", frames: [["Main", "exec", 1]] },
      { type: "WallClockSample", frames: [["Main", "run", 1]], samples: 5 },
      { type: "WallClockSample", frames: [["Main", "other", 1]], samples: 3, state: "STATE_DEFAULT" },
      { type: "WallClockSample", frames: [["Main", "sleep", 1]], samples: 2, state: "STATE_SLEEPING" },
    ];
    const wall = [
      "wall wall 20000000 Main.sleep:1 {}",
      "wall wall 30000000 Main.other:1 {}",
      "wall wall 50000000 Main.run:1 {}",
    ];
    it.each(["cpu", "itimer"])(
      "count the CPU engine's samples alone as CPU time: event=%s",
      async (setting) => {
        expect(await rowsOf(tinyJfr(events, setting))).toEqual([
          "process_cpu cpu 10000000 Main.exec:1 {}",
          ...wall,
        ]);
      },
    );
    it("count running threads as CPU time where the wall clock is the only engine", async () => {
      expect(await rowsOf(tinyJfr(events, "wall"))).toEqual([
        "process_cpu cpu 10000000 Main.exec:1 {}",
        "process_cpu cpu 50000000 Main.run:1 {}",
        "wall wall 10000000 Main.exec:1 {}",
        ...wall,
      ]);
    });
    it("leave threads in an unknown state out of CPU time", async () => {
      const [sample] = events;
      expect(await rowsOf(tinyJfr([{ ...sample!, state: "STATE_NOT_IN_THE_CHUNK" }, sample!]))).toEqual([
        "process_cpu cpu 10000000 Main.exec:1 {}",
      ]);
    });
  });
});
