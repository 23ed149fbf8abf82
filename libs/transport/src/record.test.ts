import { CinderblockError } from "@cinderblock/errors";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { mutations, Random } from "@cinderblock/testkit";
import { aggregateOf } from "@cinderblock/ingest";
import { encodePushRecord, type PushRecord, PushRecordDecoder } from "./index.ts";

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
  ])("keep everything: %s", (_, record) => {
    const d = new PushRecordDecoder(),
      got = d.decode(encodePushRecord(record));
    expect(got).toEqual(record);
    // Equal limits are one object, so that a worker receives them once.
    expect(d.decode(encodePushRecord(record)).limits).toBe(got.limits);
  });
  it("say when they are of a later version: those must wait, damaged ones are set aside", () => {
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
    "are refused for a tenant that is no tenant ID: %j",
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
