import { loadHasher } from "@cinderblock/bytes";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { tinyPprof, type TinyProfile } from "@cinderblock/testkit";
import { type ProcessedProfile, PushProcessor, RateGate } from "./index.ts";
import { framesOf } from "./testing.ts";

const NOW = 1_795_409_460_000;
const HEAP: TinyProfile["types"] = [
  ["alloc_space", "bytes"],
  ["inuse_space", "bytes"],
];

/** Frames `name(from)` to `name(to)`, root first. */
const range = (from: number, to: number, name = (i: number): string => `f${i}`): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => name(from + i));

/** The stored stacks of a Go profile with these stacks, root first. */
async function stored(stacks: readonly string[][], types = HEAP): Promise<string[]> {
  const out: string[] = [];
  const processor = new PushProcessor(await loadHasher(), {
    append: (_tenant: string, p: ProcessedProfile) => {
      for (const g of p.groups) for (const s of g.samples) out.push(framesOf(p, s).join(";"));
    },
  });
  const { error } = processor.process(
    "t",
    {
      kind: "ingest",
      body: tinyPprof({
        types: types!,
        stacks: stacks.map((frames) => ({ frames, values: [1, 1] })),
        timeNanos: BigInt(NOW) * 1_000_000n,
        line: 1,
      }),
      request: {
        app: "shop",
        tags: [],
        format: "pprof",
        boundary: "",
        spyName: "gospy",
        sampleRate: 100,
        fromNanos: BigInt(NOW) * 1_000_000n,
        durationNanos: 10_000_000_000n,
      },
    },
    TEST_LIMITS,
    new RateGate(new SharedArrayBuffer(8)),
    NOW,
  );
  if (error) throw error;
  return out;
}

describe("stacks that Go's runtime cut at the root", () => {
  it("get the frames of a stack that shares 16 of them", async () => {
    // 24 frames suffice, and the frames at the leaf may differ.
    const whole = range(1, 32),
      cut = [...range(5, 31), "leaf"],
      short = [...range(10, 31), "other"];
    expect(await stored([whole, cut, short])).toEqual([
      whole.join(";"),
      [...range(1, 31), "leaf"].join(";"),
      short.join(";"),
    ]);
  });

  it("get frames over several stacks, each 8 frames below the one before", async () => {
    const stacks = [range(1, 32), range(7, 38), range(13, 44), range(19, 50)];
    expect(await stored(stacks)).toEqual([
      range(1, 32).join(";"),
      range(1, 38).join(";"),
      range(1, 44).join(";"),
      range(1, 50).join(";"),
    ]);
  });

  it("stay where no stack has their end at most 8 frames below its root", async () => {
    const stacks = [range(1, 32), range(10, 41)];
    expect(await stored(stacks)).toEqual(stacks.map((s) => s.join(";")));
  });

  it("are not looked for below 28 frames, nor where a heap profile has stacks of 33 and more", async () => {
    const low = [range(1, 27), range(3, 27)],
      high = [range(1, 33), range(5, 36)];
    for (const stacks of [low, high]) expect(await stored(stacks)).toEqual(stacks.map((s) => s.join(";")));
  });

  it("are repaired at 64 frames of CPU time, whatever the tallest stack", async () => {
    const types: TinyProfile["types"] = [
      ["samples", "count"],
      ["cpu", "nanoseconds"],
    ];
    expect(await stored([range(1, 64), range(5, 68), range(100, 180)], types)).toEqual([
      range(1, 64).join(";"),
      range(1, 68).join(";"),
      range(100, 180).join(";"),
    ]);
  });

  it("are compared by location, except where type parameters were removed: then by content", async () => {
    // Each function has the same line: `f1` for integers and `f1` for strings become one location.
    const shape = (type: string) => (i: number) => `f${i}[go.shape.${type}]`,
      plain = (i: number): string => `f${i}`;
    expect(
      await stored([range(1, 32, shape("int")), range(5, 36, shape("string")), range(5, 36, shape("int"))]),
    ).toEqual([range(1, 32, plain).join(";"), range(1, 36, plain).join(";"), range(1, 36, plain).join(";")]);
  });

  it("stay in other languages' and other types' profiles", async () => {
    const stacks = [range(1, 32), range(5, 36)];
    expect(
      await stored(stacks, [
        ["contentions", "count"],
        ["delay", "nanoseconds"],
      ]),
    ).toEqual(stacks.map((s) => s.join(";")));
  });
});
