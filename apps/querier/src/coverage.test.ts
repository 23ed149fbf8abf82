import { CinderblockError } from "@cinderblock/errors";
import type { CaughtUp } from "@cinderblock/transport";
import { CaughtUpCache, coverageOf } from "./coverage.ts";

const silent = new CinderblockError("unavailable", "no answer");
const coverage = (answers: (CaughtUp | Error)[]) =>
  coverageOf(answers, (a) => (a instanceof Error ? Promise.reject(a) : Promise.resolve(a)));
const covered = (answers: (CaughtUp | Error)[]): Promise<boolean> => coverage(answers).then((c) => c.covered);

describe("data of silent ingesters", () => {
  it("is covered when the other ingesters have read every partition, in any zone", async () => {
    expect(
      await covered([
        { of: 4, partitions: [0, 1] },
        { of: 4, partitions: [3, 2, 1] },
      ]),
    ).toBe(true);
    expect(await covered([{ of: 4, partitions: [0, 1, 2, 3] }, silent])).toBe(true);
  });
  it("is not covered while an ingester catches up or stopped responding, or a partition has no reader", async () => {
    expect(
      await covered([
        { of: 4, partitions: [0, 1, 2] },
        { of: 4, partitions: [] },
      ]),
    ).toBe(false);
    expect(await covered([{ of: 2, partitions: [0] }, silent])).toBe(false);
    // The topic has grown, and the first ingester does not know yet.
    expect(
      await covered([
        { of: 2, partitions: [0, 1] },
        { of: 3, partitions: [1] },
      ]),
    ).toBe(false);
    expect(await covered([])).toBe(false);
  });
  it("names unread partitions, and an ingester that reads another topic of the same name", async () => {
    expect(await coverage([{ of: 4, topicId: "t", partitions: [0, 2] }])).toEqual({
      covered: false,
      reason: "no ingester that responded has read partitions 1, 3 up to the end",
    });
    expect(
      await coverage([
        { of: 2, topicId: "old", partitions: [0, 1] },
        { of: 2, topicId: "new", partitions: [] },
      ]),
    ).toEqual({
      covered: false,
      reason: "the topic was recreated, and some ingesters do not read the new one yet",
    });
    expect((await coverage([])).reason).toBe("no ingester that responded reads the log");
  });
});

describe("offsets that ingesters have read", () => {
  it("are fetched once for concurrent sub-queries, and again later", async () => {
    let now = 0,
      asked = 0;
    const cache = new CaughtUpCache<string>(
      () => Promise.resolve({ of: ++asked, partitions: [] }),
      (m) => m,
      () => now,
    );
    await Promise.all([cache.get("a"), cache.get("a")]);
    expect(asked).toBe(1);
    now = 500;
    expect((await cache.get("a")).of).toBe(2);
  });
});
