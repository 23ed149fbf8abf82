import { readFileSync } from "node:fs";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { goldenPath } from "@cinderblock/testkit";
import { PushRecordDecoder } from "./index.ts";

describe("a Kafka record of an earlier release", () => {
  it("decodes to the push that it held", () => {
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
  });
});
