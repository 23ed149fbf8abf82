import { gzipSync } from "node:zlib";
import { mutations, Random, tinyPprof } from "@cinderblock/testkit";
import { CinderblockError } from "@cinderblock/errors";
import { encodePprof, inflateProfile, PprofDecoder, type PprofTables, ReusedGunzip } from "./index.ts";

const text = (t: PprofTables, i: number): string =>
  Buffer.from(t.bytes.subarray(t.stringStart.data[i]!, t.stringEnd.data[i]!)).toString();
const profile = tinyPprof({
  types: [
    ["samples", "count"],
    ["cpu", "nanoseconds"],
  ],
  stacks: [
    { frames: ["main", "work"], values: [1, 10] },
    { frames: ["main"], values: [2, 2 ** 40], labels: { span_id: "0102030405060708" } },
  ],
  timeNanos: 1_795_409_460_000_000_000n,
});

describe("pprof decoder", () => {
  it("reads every table", () => {
    const t = new PprofDecoder().decode(profile);
    expect([t.samples, t.locations, t.functions, t.mappings, t.sampleTypes]).toEqual([2, 2, 2, 1, 2]);
    expect(t.timeNanos).toBe(1_795_409_460_000_000_000n);
    expect([...t.value.view()]).toEqual([1n, 10n, 2n, 2n ** 40n]);
    expect([...t.sampleLocations.view()]).toEqual([0, 2, 3]);
    expect(text(t, t.funcName.data[0]!)).toBe("work");
    expect(text(t, t.labelKey.data[0]!)).toBe("span_id");
  });
  it("round-trips the encoder's output", () => {
    const strings = Buffer.from("mainwork");
    const bytes = encodePprof(
      {
        sampleTypes: [{ type: "cpu", unit: "ns" }],
        periodType: { type: "cpu", unit: "ns" },
        period: 5n,
        timeNanos: 7n,
        durationNanos: -1n,
      },
      {
        strings: { bytes: strings, offset: Uint32Array.of(0, 0, 4, 8) },
        functionWords: Uint32Array.of(1, 1, 0, 3, 2, 2, 0, 0),
        mappingWords: Uint32Array.of(0, 0, 1, 0, 0, 0, 1, 0, 9),
        locationWords: Uint32Array.of(0, 0, 1, 0, 0, 12, 0, 0, 0, 1, 1, 0xffffffff),
        locationOffset: Uint32Array.of(0, 6, 12),
        sampleOffset: Uint32Array.of(0, 2),
        sampleLocation: Uint32Array.of(1, 0),
        value: BigInt64Array.of(-9n),
      },
    );
    const t = new PprofDecoder().decode(bytes);
    expect([...t.value.view()]).toEqual([-9n]);
    expect(t.locAddress.data[0]).toBe(1n << 32n);
    expect(t.lineNumber.data[1]).toBe(0xffffffff);
    expect(t.durationNanos).toBe(-1n);
    expect(text(t, t.defaultSampleType)).toBe("cpu");
  });
  it("survives mutated profiles: an error with its position, or tables", () => {
    const random = new Random(20261123),
      d = new PprofDecoder();
    let refused = 0;
    const rounds = mutations(4000);
    for (let i = 0; i < rounds; i++) {
      try {
        const t = d.decode(random.mutate(profile));
        expect(t.samples).toBeLessThan(1000);
      } catch (err) {
        expect(err).toBeInstanceOf(CinderblockError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(rounds / 20);
    expect(refused).toBeLessThan(rounds);
  });
});

describe("inflating into the same memory", () => {
  it("equals the plain call for bodies of any size, and for damaged ones", () => {
    const engine = ReusedGunzip.create()!;
    expect(engine).toBeDefined();
    const random = new Random(20261124);
    let quick = 0,
      refused = 0;
    const rounds = Math.min(3000, mutations(500));
    for (let i = 0; i < rounds; i++) {
      const plain = new Uint8Array(random.below(4) === 0 ? random.below(300_000) : random.below(2000));
      for (let k = 0; k < plain.length; k++) plain[k] = random.below(8);
      let body: Uint8Array = gzipSync(plain, { level: 1 });
      if (i % 3 === 1) body = random.mutate(body);
      if (i % 50 === 2) body = Buffer.concat([body, gzipSync(plain.subarray(0, 100))]);
      const outcome = (e?: ReusedGunzip): string => {
        try {
          return Buffer.from(inflateProfile(body, 250_000, e)).toString("latin1");
        } catch (err) {
          refused++;
          return `refused: ${(err as Error).message}`;
        }
      };
      const found = outcome(engine);
      if (found !== outcome()) throw new Error(`body ${i}: ${found.slice(0, 100)}`);
      if (!found.startsWith("refused")) quick++;
    }
    expect(quick).toBeGreaterThan(rounds / 2);
    expect(refused).toBeGreaterThan(rounds / 3);
  });
});

describe("inflating", () => {
  it("accepts plain bytes and several gzip members", () => {
    expect(Buffer.from(inflateProfile(profile, 0)).equals(Buffer.from(profile))).toBe(true);
    const two = Buffer.concat([gzipSync(profile.slice(0, 10)), gzipSync(profile.slice(10))]);
    expect(Buffer.from(inflateProfile(two, 1000)).equals(Buffer.from(profile))).toBe(true);
  });
  it("stops a decompression bomb at the limit, for any size field", () => {
    const bomb = gzipSync(Buffer.alloc(64 << 20));
    expect(() => inflateProfile(bomb, 4 << 20)).toThrow(
      "uncompressed profile payload size exceeds limit of 4.2 MB",
    );
    bomb.writeUInt32LE(10, bomb.length - 4);
    expect(() => inflateProfile(bomb, 4 << 20)).toThrow("exceeds limit");
  });
  it("refuses truncated, damaged and over-long streams", () => {
    const good = gzipSync(profile);
    expect(() => inflateProfile(good.subarray(0, good.length - 9), 0)).toThrow("unexpected EOF");
    const bad = Buffer.from(good);
    bad[bad.length - 6]! ^= 1;
    expect(() => inflateProfile(bad, 0)).toThrow("gzip");
    expect(() => inflateProfile(Buffer.concat([good, Buffer.from("junk")]), 0)).toThrow("unexpected EOF");
  });
});
