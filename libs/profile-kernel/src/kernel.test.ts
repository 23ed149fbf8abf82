import { mutations, Random, tinyPprof } from "@cinderblock/testkit";
import { agree, kernel } from "./agree.testing.ts";

function profile(random: Random, stacks: number): Uint8Array {
  return tinyPprof({
    types: [
      ["samples", "count"],
      ["cpu", "nanoseconds"],
    ],
    timeNanos: 1_795_409_460_000_000_000n,
    stacks: Array.from({ length: stacks }, () => ({
      frames: Array.from({ length: 1 + random.below(40) }, () => `function_${random.below(200)}`),
      values: [random.below(100), random.below(2 ** 31) * 1024],
      ...(random.below(3) === 0
        ? { labels: { span_id: "0102030405060708", [`k${random.below(4)}`]: "v" } }
        : {}),
    })),
  });
}

describe("the kernel's decoder", () => {
  it("equals the plain decoder on profiles of any size, one after another", () => {
    const random = new Random(7);
    for (const stacks of [0, 1, 3, 200, 2, 900, 64, 0]) expect(agree(profile(random, stacks))).toBe("equal");
  });
  it("equals it on mutated profiles, and leaves malformed ones to it", () => {
    const random = new Random(20261124),
      seed = profile(random, 4);
    const seen = new Map<string, number>();
    const rounds = mutations(3000);
    for (let i = 0; i < rounds; i++) {
      const what = agree(random.mutate(seed));
      seen.set(what, (seen.get(what) ?? 0) + 1);
    }
    expect(seen.get("equal")).toBeGreaterThan(rounds / 10);
    expect(seen.get("refused")).toBeGreaterThan(rounds / 10);
    expect(seen.get("left to the plain decoder") ?? 0).toBe(0);
  });
  it("limits its columns: larger profiles are left to the plain decoder", () => {
    const huge = Uint8Array.from([...tinyPprof({ stacks: [] }), 18, ...varint(((6 << 20) << 1) >>> 1)]);
    const body = new Uint8Array(huge.length + (6 << 20));
    body.set(huge);
    body.fill(8, huge.length); // location IDs, unpacked: 08 08 08 08 …
    expect(kernel.decode(body)).toBeUndefined();
    expect(kernel.byteLength).toBeLessThan(80 << 20);
    expect(agree(profile(new Random(1), 5))).toBe("equal");
  });
});

function varint(n: number): number[] {
  const out: number[] = [];
  while (n > 127) {
    out.push((n & 127) | 128);
    n >>>= 7;
  }
  return [...out, n];
}
