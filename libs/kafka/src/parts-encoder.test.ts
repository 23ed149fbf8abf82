import { createRequire } from "node:module";
import fc from "fast-check";
import { type KafkajsEncoder, copyFreeEncoder } from "./parts-encoder.ts";
import { type BatchFields, type BatchModule, copyFreeRecordBatch } from "./record-batch.ts";

type Writes = KafkajsEncoder & {
  writeInt8(n: number): Writes;
  writeInt32(n: number): Writes;
  writeInt64(n: bigint): Writes;
  writeString(t: string | null): Writes;
  writeBytes(b: Buffer): Writes;
  writeVarIntBytes(b: Buffer | null): Writes;
  writeArray(a: readonly unknown[], type?: string): Writes;
  writeVarIntArray(a: readonly unknown[]): Writes;
};
const Theirs = createRequire(import.meta.url)("kafkajs/src/protocol/encoder.js") as new (
  size?: number,
) => Writes;
const Ours = copyFreeEncoder(Theirs as never) as unknown as new () => Writes;

/** One write: a number, a text, bytes, or a nested encoder. */
type Step =
  | { kind: "int8" | "int32" | "int64"; n: number }
  | { kind: "text"; t: string | null }
  | { kind: "bytes" | "varbytes"; b: Uint8Array }
  | { kind: "nested" | "array" | "vararray" | "joined"; steps: Step[] };
const { steps } = fc.letrec<{ steps: Step[]; step: Step }>((tie) => ({
  step: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({
      kind: fc.constantFrom("int8" as const, "int32" as const, "int64" as const),
      n: fc.integer({ min: -128, max: 127 }),
    }),
    fc.record({ kind: fc.constant("text" as const), t: fc.option(fc.string({ maxLength: 300 })) }),
    fc.record({
      kind: fc.constantFrom("bytes" as const, "varbytes" as const),
      b: fc.oneof(
        fc.uint8Array({ maxLength: 20 }),
        fc.integer({ min: 1000, max: 5000 }).map((n) => new Uint8Array(n).fill(n)),
      ),
    }),
    fc.record({
      kind: fc.constantFrom("nested" as const, "array" as const, "vararray" as const, "joined" as const),
      steps: tie("steps"),
    }),
  ),
  steps: fc.array(tie("step"), { maxLength: 8 }),
}));

function write(make: new () => Writes, list: readonly Step[]): Writes {
  const e = new make();
  for (const s of list) {
    switch (s.kind) {
      case "int8":
        e.writeInt8(s.n);
        break;
      case "int32":
        e.writeInt32(s.n);
        break;
      case "int64":
        e.writeInt64(BigInt(s.n));
        break;
      case "text":
        e.writeString(s.t);
        break;
      case "bytes":
        e.writeBytes(Buffer.from(s.b));
        break;
      case "varbytes":
        e.writeVarIntBytes(Buffer.from(s.b));
        break;
      case "nested":
        e.writeEncoder(write(make, s.steps));
        break;
      case "array":
        e.writeArray([write(make, s.steps), write(make, [])]);
        break;
      case "vararray":
        e.writeVarIntArray([write(make, s.steps)]);
        break;
      // Like a batch of records: the checksum reads the bytes before the outer encoder writes them.
      case "joined": {
        const within = write(make, s.steps);
        e.writeInt32(within.buffer.length);
        e.writeInt32(within.size());
        e.writeEncoder(within);
        break;
      }
    }
  }
  return e;
}

describe("requests without copies", () => {
  it("are the bytes that kafkajs writes", () => {
    fc.assert(
      fc.property(steps, (list) => {
        const ours = write(Ours, list),
          theirs = write(Theirs as new () => Writes, list);
        expect(ours.size()).toBe(theirs.size());
        expect(ours.buffer.equals(theirs.buffer)).toBe(true);
        expect(ours.buffer.equals(theirs.buffer)).toBe(true); // the buffer is the same on each read
      }),
      { numRuns: 500 },
    );
  });
});

describe("batches of records", () => {
  const require = createRequire(import.meta.url);
  const theirs = require("kafkajs/src/protocol/recordBatch/v0") as BatchModule;
  const record = require("kafkajs/src/protocol/recordBatch/record/v0") as (r: object) => KafkajsEncoder;
  const ours = copyFreeRecordBatch(theirs, Ours as never);
  it("are the bytes that kafkajs makes, also compressed ones", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 20 }),
            fc.integer({ min: 1000, max: 5000 }).map((n) => new Uint8Array(n).fill(n)),
          ),
          { maxLength: 5 },
        ),
        fc.boolean(),
        fc.constantFrom(0, 1),
        fc.nat(1e6),
        async (values, transactional, compression, n) => {
          const fields = (): BatchFields => ({
            compression,
            transactional,
            firstTimestamp: 1_700_000_000_000 + n,
            maxTimestamp: 1_700_000_000_001 + n,
            lastOffsetDelta: values.length - 1,
            producerId: BigInt(n),
            producerEpoch: n % 7,
            firstSequence: n,
            records: values.map((v, i) => record({ offsetDelta: i, key: null, value: Buffer.from(v) })),
          });
          const parts = (list: readonly KafkajsEncoder[]): KafkajsEncoder[] =>
            list.map((r) => {
              const e = new Ours();
              e.writeBufferInternal(r.buffer);
              return e;
            });
          const mine = await ours.RecordBatch({
            ...fields(),
            ...(compression === 0 ? { records: parts(fields().records!) } : {}),
          });
          expect(mine.buffer.equals((await theirs.RecordBatch(fields())).buffer)).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });
});
