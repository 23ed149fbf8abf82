import { loadHasher } from "@cinderblock/bytes";
import { type NormalizedProfile, type ProcessedProfile, PushProcessor, RateGate } from "@cinderblock/ingest";
import { SymbolPartition } from "@cinderblock/symdb";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { Random, tinyPprof } from "@cinderblock/testkit";
import { SymbolInterner } from "./symbol-interner.ts";

/** Both interners see symbols in the same order, so locations have the same IDs; node IDs may differ. */
function sameStack(a: SymbolPartition, x: number, b: SymbolPartition, y: number): boolean {
  while (x > 0 && y > 0) {
    if (a.stackLocation.data[x] !== b.stackLocation.data[y]) return false;
    x = a.stackParent.data[x]!;
    y = b.stackParent.data[y]!;
  }
  return x === 0 && y === 0;
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

interface Both {
  kernel: SymbolPartition;
  plain: SymbolPartition;
}

/** Pushes profiles through both interners into separate partitions and compares every stack. */
async function compare(
  profiles: Iterable<{ body: Uint8Array; partition: number; labels?: { name: string; value: string }[] }>,
  partitions: number,
  see: (both: Both) => void = () => {},
): Promise<number> {
  const both: Both[] = Array.from({ length: partitions }, () => ({
    kernel: new SymbolPartition(),
    plain: new SymbolPartition(),
  }));
  const a = new SymbolInterner(),
    b = new SymbolInterner();
  let at = 0,
    stacks = 0;
  const sink = (_tenant: string, { profile, groups }: ProcessedProfile): void => {
    for (const g of groups) {
      expect(profile.kernel).toBeDefined();
      const one = Uint32Array.from(a.stacks(profile, g.samples, both[at]!.kernel));
      const plain: NormalizedProfile = { ...profile, kernel: undefined };
      const two = b.stacks(plain, g.samples, both[at]!.plain);
      for (let i = 0; i < one.length; i++, stacks++) {
        if (!sameStack(both[at]!.kernel, one[i]!, both[at]!.plain, two[i]!))
          throw new Error(`node ${one[i]} is another stack than ${two[i]} of the plain interner`);
      }
    }
  };
  const processor = new PushProcessor(await loadHasher(), { append: sink });
  for (const { body, partition, labels = [] } of profiles) {
    at = partition;
    const json = Buffer.from(
      JSON.stringify({
        series: [
          {
            labels: [
              { name: "__name__", value: "process_cpu" },
              { name: "service_name", value: "s" },
              ...labels,
            ],
            samples: [{ rawProfile: Buffer.from(body).toString("base64") }],
          },
        ],
      }),
    );
    const out = processor.process(
      "t",
      { kind: "push", codec: "json", gzip: false, body: json },
      TEST_LIMITS,
      new RateGate(new SharedArrayBuffer(8)),
      1_795_409_460_000,
    );
    if (out.error) throw out.error;
  }
  for (const { kernel, plain } of both) {
    expect(kernel.stackParent.length).toBe(plain.stackParent.length);
    for (const table of ["functions", "mappings", "locations"] as const)
      expect(Buffer.compare(bytesOf(kernel[table].words.view()), bytesOf(plain[table].words.view()))).toBe(0);
    expect(Buffer.from(kernel.strings.bytes.view()).equals(plain.strings.bytes.view())).toBe(true);
    see({ kernel, plain });
  }
  return stacks;
}

function* profiles(
  random: Random,
  count: number,
  names: number,
  stacks: number,
  depth: number,
  partitions: number,
) {
  for (let i = 0; i < count; i++) {
    yield {
      partition: random.below(partitions),
      body: tinyPprof({
        timeNanos: 1_795_409_460_000_000_000n,
        mapping: ["/bin/app", "/lib/x.so"][random.below(2)]!,
        stacks: Array.from({ length: stacks }, () => ({
          frames: Array.from(
            { length: 1 + random.below(depth) },
            () =>
              `f${random.below(names)}${random.below(5) === 0 ? "_with_a_rather_long_name[go.shape.int]" : ""}`,
          ),
          values: [1 + random.below(9)],
          ...(random.below(4) === 0 ? { labels: { endpoint: `/${random.below(3)}` } } : {}),
        })),
      }),
    };
  }
}

describe("interning through the kernel", () => {
  it("assigns every sample the same stack as the plain interner, with the same symbols", async () => {
    expect(await compare(profiles(new Random(11), 200, 300, 12, 70, 3), 3)).toBe(2400);
  });
  it("interns strings added after decoding: the source's version, in its mapping", async () => {
    const versions = function* () {
      let i = 0;
      for (const p of profiles(new Random(13), 60, 50, 5, 20, 1))
        yield {
          ...p,
          labels: [
            { name: "service_repository", value: "https://example.org/app" },
            { name: "service_git_ref", value: `v${i++ % 7}` },
          ],
        };
    };
    expect(await compare(versions(), 1)).toBe(300);
  });
  it("keeps addresses of mappings without functions, and none of others", async () => {
    const stacks = [{ frames: ["f"], values: [1] }],
      timeNanos = 1_795_409_460_000_000_000n;
    const bodies = [true, true, false].map((symbolized, i) => ({
      partition: 0,
      body: tinyPprof({
        timeNanos,
        stacks,
        symbolized,
        address: 0x1234,
        extent: [0x1000n << BigInt(i), 0x5_0000_0000n, 16n],
      }),
    }));
    let mappings: number[] = [],
      locations: number[] = [];
    await compare(bodies, 1, ({ kernel }) => {
      mappings = [...kernel.mappings.words.view()];
      locations = [...kernel.locations.words.view()];
    });
    const [symbolized, other] = [mappings.slice(0, 9), mappings.slice(9)];
    expect(symbolized!.slice(0, 6)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(other).toEqual([0x4000, 0, 0, 5, 16, 0, symbolized![6], 0, 0]);
    expect([locations[1], locations[7]]).toEqual([0, 0x1234]);
  });
  it("stays correct when its table overflows repeatedly", async () => {
    // Strings, functions and locations of 20,000 names in two partitions exceed the symbols' 65,536 entries;
    // the extended suite's 22 × 400 stacks of about 250 frames have more prefixes than the stacks' 131,072.
    const [count, stacks] = process.env.CINDERBLOCK_LONG ? [22, 400] : [4, 75];
    expect(await compare(profiles(new Random(12), count, 20_000, stacks, 500, 2), 2)).toBe(count * stacks);
  });
});
