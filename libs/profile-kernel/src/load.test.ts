import fc from "fast-check";
import {
  encodePprof,
  PprofDecoder,
  type PprofHeader,
  type PprofSource,
  pprofSize,
  type PprofTables,
} from "@cinderblock/pprof";
import { content } from "./agree.testing.ts";
import { ProfileKernel } from "./index.ts";

const word = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0xffffffff })),
  int64 = fc.oneof(
    fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
    fc.constantFrom(0n, 1n, -1n, 127n, 128n),
  ),
  text = fc.oneof(
    fc.constantFrom("", "cpu", "nanoseconds", "größe"),
    fc.string({ unit: "grapheme", maxLength: 6 }),
  ),
  type = fc.record({ type: text, unit: text });

const header: fc.Arbitrary<PprofHeader> = fc
  .record({
    sampleTypes: fc.array(type, { minLength: 1, maxLength: 3 }),
    period: fc.option(type),
    rest: fc.record({ period: int64, timeNanos: int64, durationNanos: int64 }),
  })
  .map(({ sampleTypes, period, rest }) => ({
    sampleTypes,
    ...(period ? { periodType: period } : {}),
    ...rest,
  }));

/** Start of each list in the joined lists, and their end. */
function offsets(lists: readonly { length: number }[]): Uint32Array {
  let at = 0;
  return Uint32Array.of(0, ...lists.map((l) => (at += l.length)));
}

const source = (types: number): fc.Arbitrary<PprofSource> =>
  fc
    .record({
      strings: fc.array(text, { maxLength: 200 }),
      functions: fc.array(fc.array(word, { minLength: 4, maxLength: 4 }), { maxLength: 5 }),
      mappings: fc.array(
        fc
          .tuple(fc.array(word, { minLength: 8, maxLength: 8 }), fc.nat(15))
          .map(([w, flags]) => [...w, flags]),
        { maxLength: 3 },
      ),
      locations: fc.array(
        fc
          .tuple(
            fc.tuple(fc.nat(300), word, word, fc.nat(1)),
            fc.array(fc.tuple(fc.nat(300), fc.integer({ min: 0, max: 0xffffffff })), { maxLength: 3 }),
          )
          .map(([head, lines]) => [...head, ...lines.flat()]),
        { maxLength: 6 },
      ),
      samples: fc.array(
        fc.record({
          stack: fc.array(fc.oneof(fc.nat(200), fc.nat(70000)), { maxLength: 5 }),
          values: fc.array(int64, { minLength: types, maxLength: types }),
          labels: fc.array(fc.tuple(word, word), { maxLength: 3 }),
        }),
        { maxLength: 8 },
      ),
      labelled: fc.boolean(),
    })
    .map(({ strings, functions, mappings, locations, samples, labelled }) => {
      const texts = ["", ...strings].map((t) => Buffer.from(t)),
        labels = samples.map((s) => s.labels);
      return {
        strings: { bytes: Buffer.concat(texts), offset: offsets(texts) },
        functionWords: Uint32Array.from(functions.flat()),
        mappingWords: Uint32Array.from(mappings.flat()),
        locationWords: Uint32Array.from(locations.flat()),
        locationOffset: offsets(locations),
        sampleOffset: offsets(samples.map((s) => s.stack)),
        sampleLocation: Uint32Array.from(samples.flatMap((s) => s.stack)),
        value: BigInt64Array.from(samples.flatMap((s) => s.values)),
        ...(labelled
          ? {
              labels: {
                offset: offsets(labels),
                key: Uint32Array.from(labels.flat(), ([k]) => k),
                value: Uint32Array.from(labels.flat(), ([, v]) => v),
              },
            }
          : {}),
      };
    });

/** Content of the tables, with texts in place of their positions. */
function described(t: PprofTables): unknown {
  return {
    ...content(t),
    stringStart: undefined,
    stringEnd: undefined,
    texts: Array.from({ length: t.strings }, (_, i) =>
      Buffer.from(t.bytes.subarray(t.stringStart.data[i], t.stringEnd.data[i])).toString("hex"),
    ),
  };
}

describe("the kernel's loading of a profile without a pprof", () => {
  const profile = header.chain((h) => fc.tuple(fc.constant(h), source(h.sampleTypes.length)));

  it("equals decoding its pprof, one profile after another", () => {
    const kernel = new ProfileKernel();
    fc.assert(
      fc.property(profile, ([h, s]) => {
        const found = kernel.load(h, s);
        expect(found && described(found)).toEqual(described(new PprofDecoder().decode(encodePprof(h, s))));
      }),
      { numRuns: 500 },
    );
  });

  it("has the references of its pprof", () => {
    const kernel = new ProfileKernel(),
      other = new ProfileKernel();
    fc.assert(
      fc.property(profile, ([h, s]) => {
        expect(kernel.normalise(kernel.load(h, s)!, 3)).toEqual(
          other.normalise(other.decode(encodePprof(h, s))!, 3),
        );
      }),
      { numRuns: 500 },
    );
  });

  it("is left to the plain decoder above the limit of its columns", () => {
    const none = new Uint32Array(0),
      kernel = new ProfileKernel(),
      h = { sampleTypes: [{ type: "cpu", unit: "ns" }], period: 0n, timeNanos: 0n, durationNanos: 0n },
      s = {
        strings: { bytes: new Uint8Array(0), offset: Uint32Array.of(0, 0) },
        functionWords: none,
        mappingWords: none,
        locationWords: none,
        locationOffset: Uint32Array.of(0),
        sampleOffset: Uint32Array.of(0, 6 << 20),
        sampleLocation: new Uint32Array(6 << 20),
        value: BigInt64Array.of(1n),
      };
    expect(kernel.load(h, s)).toBeUndefined();
    expect(kernel.byteLength).toBeLessThan(80 << 20);
    expect(
      kernel.load(h, { ...s, sampleOffset: Uint32Array.of(0, 1), sampleLocation: Uint32Array.of(0) })
        ?.samples,
    ).toBe(1);
  });
});

describe("the size of a pprof", () => {
  it("is that of its bytes", () => {
    fc.assert(
      fc.property(
        header.chain((h) => fc.tuple(fc.constant(h), source(h.sampleTypes.length))),
        ([h, s]) => {
          expect(pprofSize(h, s)).toBe(encodePprof(h, s).length);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
