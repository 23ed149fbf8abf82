import { CinderblockError } from "@cinderblock/errors";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { mutations, Random } from "@cinderblock/testkit";
import { loadHasher } from "@cinderblock/bytes";
import { aggregateOf, PushProcessor, RateGate, type SentPush } from "@cinderblock/ingest";
import { encodeMessage } from "@cinderblock/message";
import { encodeFence, encodePushRecord, type PushRecord, PushRecordDecoder } from "./index.ts";

const PUSH: PushRecord = {
  tenant: "team-1",
  service: "größe",
  atMs: 1_795_409_460_123,
  limits: TEST_LIMITS,
  push: { kind: "push", codec: "json", gzip: true, body: new Uint8Array([1, 2, 3]) },
};
const INGEST: PushRecord = {
  ...PUSH,
  service: "",
  push: {
    kind: "ingest",
    body: new Uint8Array(0),
    request: {
      app: "a",
      tags: [{ name: "x", value: "y" }],
      format: "groups",
      boundary: "",
      spyName: "s",
      sampleRate: 100,
      fromNanos: 5n,
      durationNanos: 10_000_000_000n,
    },
  },
};

const AGGREGATE: PushRecord = { ...PUSH, push: aggregateOf(15_000, [PUSH.push, INGEST.push] as never) };

describe("records of pushes", () => {
  it.each([
    ["push", PUSH],
    ["ingest", INGEST],
    ["aggregate", AGGREGATE],
    ["a push with refused profiles", { ...PUSH, refused: 2 }],
    ["a push that one number of partitions placed", { ...PUSH, refused: 0, placedBy: [4] }],
    ["a push that moves from one number of partitions to another", { ...PUSH, placedBy: [4, 6] }],
  ])("round-trip: %s", (_, record) => {
    const d = new PushRecordDecoder(),
      got = d.decode(encodePushRecord(record));
    expect(got).toEqual(record);
    // Equal limits are one object, so that a worker receives them once.
    expect(d.decode(encodePushRecord(record)).limits).toBe(got.limits);
  });
  it("have the bytes of earlier releases without a number of partitions", () => {
    const limits = JSON.stringify(PUSH.limits),
      fields = [PUSH.tenant, PUSH.service, PUSH.atMs, limits, PUSH.push];
    expect(encodePushRecord(PUSH)).toEqual(encodeMessage(fields, 4096, 1));
    expect(encodePushRecord({ ...PUSH, refused: 3 })).toEqual(encodeMessage([...fields, 3], 4096, 1));
  });
  it("leave out numbers of partitions that no writer can place by", () => {
    for (const placedBy of [[], [0], [1.5], [6, 4], [4, 4], [4, 6, 9], ["4"]] as number[][])
      expect(new PushRecordDecoder().decode(encodePushRecord({ ...PUSH, placedBy })).placedBy).toBe(
        undefined,
      );
  });
  it("without a push make a number of partitions known, and are a push without a series to earlier releases", async () => {
    const record = new PushRecordDecoder().decode(encodeFence([4, 6], 5, TEST_LIMITS));
    expect(record).toMatchObject({ fence: true, placedBy: [4, 6], service: "", atMs: 5 });
    const taken: unknown[] = [];
    const processor = new PushProcessor(await loadHasher(), { append: (...a) => taken.push(a) });
    const outcome = processor.process(
      record.tenant,
      record.push as SentPush,
      record.limits,
      new RateGate(new SharedArrayBuffer(8)),
      5,
    );
    // They take a refusal of the push as decided, since the record does not say how many profiles were refused.
    expect([outcome.error?.kind, outcome.discarded.length, record.refused, taken]).toEqual([
      "invalid",
      1,
      undefined,
      [],
    ]);
  });
  it("report a later version, which must wait, apart from damage, which is quarantined", () => {
    const kind = (bytes: Uint8Array): string => {
      try {
        new PushRecordDecoder().decode(bytes);
        return "read";
      } catch (err) {
        return (err as CinderblockError).kind;
      }
    };
    expect(kind(Uint8Array.of(3))).toBe("unimplemented");
    // Readers without aggregates accept only version 1.
    expect([PUSH, INGEST, AGGREGATE].map((r) => encodePushRecord(r)[0])).toEqual([1, 1, 2]);
    expect(kind(Uint8Array.of(0))).toBe("invalid");
    expect(kind(new Uint8Array(0))).toBe("invalid");
  });
  it.each(["", "..", "../../outside", "a/b", "a|b", "größe", "x".repeat(151)])(
    "are refused with an invalid tenant ID: %j",
    (tenant) => {
      expect(() => new PushRecordDecoder().decode(encodePushRecord({ ...PUSH, tenant }))).toThrow(
        expect.objectContaining({ kind: "invalid" }),
      );
    },
  );
  it("survive mutation: an error, or a record", () => {
    const random = new Random(61),
      goods = [INGEST, AGGREGATE].map(encodePushRecord),
      d = new PushRecordDecoder();
    let refused = 0;
    for (let i = 0; i < mutations(1500); i++)
      try {
        d.decode(random.mutate(goods[i % 2]!));
      } catch (err) {
        expect(err).toBeInstanceOf(CinderblockError);
        refused++;
      }
    expect(refused).toBeGreaterThan(150);
  });
});
