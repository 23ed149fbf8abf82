import { readFileSync } from "node:fs";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { goldenPath } from "@cinderblock/testkit";
import { encodeFence, encodePushRecord, type PushRecord, PushRecordDecoder } from "./index.ts";

describe("a Kafka record of this release", () => {
  const limits = {} as PushRecord["limits"];
  it.each([
    [
      "a push while services move",
      encodePushRecord({
        tenant: "t",
        service: "s",
        atMs: 7,
        limits,
        refused: 0,
        placedBy: [4, 6],
        push: { kind: "push", codec: "proto", gzip: false, body: Uint8Array.of(1) },
      }),
      "01010b07080174080173040708027b7d0c0400046b696e640804707573680005636f646563080570726f746f0004677a6970020004626f647909010104000b0204040406",
    ],
    [
      "a fence",
      encodeFence([4, 6], 7, limits),
      "01010b080809616e6f6e796d6f75730800040708027b7d0c0400046b696e640804707573680005636f646563080570726f746f0004677a6970020004626f64790900000b020404040603",
    ],
  ])("keeps its bytes: %s", (_, record, golden) => {
    expect(Buffer.from(record).toString("hex")).toBe(golden);
    expect(new PushRecordDecoder().decode(Buffer.from(golden, "hex")).placedBy).toEqual([4, 6]);
  });
});

describe("a Kafka record of an earlier release", () => {
  it("decodes to its push", () => {
    const record = new PushRecordDecoder().decode(
      readFileSync(goldenPath("cinderblock/0.1.0/push.kafka-record")),
    );
    expect([record.tenant, record.service, record.atMs]).toEqual(["team-a", "cart", 1_795_132_800_123]);
    expect(record.limits).toMatchObject({
      maxLabelNameLength: TEST_LIMITS.maxLabelNameLength,
      maxProfileSizeBytes: TEST_LIMITS.maxProfileSizeBytes,
    });
    expect(record.push).toMatchObject({ kind: "push", codec: "proto", gzip: false });
    expect(Buffer.from(record.push.body).toString()).toBe(
      "not a real push; the body is opaque to the record",
    );
    expect([record.placedBy, record.fence]).toEqual([undefined, undefined]);
  });
});
