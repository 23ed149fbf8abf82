import { isUlid, newUlid, ulidBefore, ulidTimeMs } from "@cinderblock/block-meta";
import { FilesystemBucket } from "@cinderblock/objstore";
import { temporaryFolder } from "@cinderblock/testkit";
import {
  deletionRequests,
  parseRetentionRules,
  requestDeletion,
  saveDeletion,
  tenantsWithDeletions,
} from "./index.ts";

describe("deletion requests", () => {
  const ask = {
    tenant: "t",
    selector: '{service_name="a"}',
    startMs: 1,
    endMs: 2,
    by: "someone",
    reason: "because",
    nowMs: 1000,
    periodMs: 5000,
  };
  it("round-trip with their progress", async () => {
    const bucket = new FilesystemBucket(temporaryFolder());
    expect(await tenantsWithDeletions(bucket)).toEqual([]);
    const r = await requestDeletion(bucket, ask);
    await saveDeletion(bucket, {
      ...r,
      state: "done",
      doneMs: 9,
      steps: [{ atMs: 3, block: "b", replacement: "", profiles: 7 }],
    });
    expect(await deletionRequests(bucket, "t")).toEqual([
      {
        id: r.id,
        tenant: "t",
        selector: ask.selector,
        startMs: 1,
        endMs: 2,
        createdMs: 1000,
        by: "someone",
        reason: "because",
        untilMs: 6000,
        state: "done",
        doneMs: 9,
        steps: [{ atMs: 3, block: "b", replacement: "", profiles: 7 }],
      },
    ]);
    expect(await tenantsWithDeletions(bucket)).toEqual(["t"]);
    expect(await deletionRequests(bucket, "other")).toEqual([]);
  });
  it("are refused if they would delete all, no or impossible data", async () => {
    const bucket = new FilesystemBucket(temporaryFolder());
    await expect(requestDeletion(bucket, { ...ask, selector: "{}" })).rejects.toThrow("at least one matcher");
    await expect(requestDeletion(bucket, { ...ask, startMs: 3 })).rejects.toThrow(
      "start of a deletion must not be after its end",
    );
    await expect(requestDeletion(bucket, { ...ask, selector: "{a=" })).rejects.toThrow();
    expect(await tenantsWithDeletions(bucket)).toEqual([]);
  });
  it("are reported with the file if damaged", async () => {
    const bucket = new FilesystemBucket(temporaryFolder());
    const name = "__pyroscope_cluster/cinderblock/deletions/t/x.json";
    for (const [text, said] of [
      ["{", "expected JSON"],
      ['{"version":2}', "expected version 1"],
      ['{"version":1,"id":"x"}', "expected tenant to be a string"],
    ] as const) {
      await bucket.put(name, Buffer.from(text));
      await expect(deletionRequests(bucket, "t")).rejects.toThrow(`${name}: at byte 0: ${said}`);
    }
  });
});

describe("retention rules", () => {
  it("are lists of selector and period", () => {
    expect(parseRetentionRules([{ selector: '{namespace="dev"}', period: "7d" }], "x")).toEqual([
      { selector: '{namespace="dev"}', periodMs: 604_800_000 },
    ]);
    expect(parseRetentionRules(null, "x")).toEqual([]);
    for (const [value, said] of [
      [{}, "x: expected a list of rules"],
      [[{ selector: "{}", period: "1d" }], "x: rule 1: the selector needs a matcher"],
      [[{ selector: '{a="b"}', period: "0s" }], "expected a period above 0"],
      [[{ selector: '{a="b"}', period: "soon" }], "not a valid duration"],
      [[{ selector: '{a="b"}', period: "1d", x: 1 }], "unknown key x"],
    ] as const)
      expect(() => parseRetentionRules(value, "x")).toThrow(said);
  });
});

describe("a ULID before another", () => {
  it("is a smaller ULID of the same time", () => {
    for (let i = 0; i < 200; i++) {
      const u = newUlid(1_795_132_800_000),
        b = ulidBefore(u);
      expect([isUlid(b), b < u, ulidTimeMs(u) - ulidTimeMs(b) <= 1]).toEqual([true, true, true]);
    }
  });
});
