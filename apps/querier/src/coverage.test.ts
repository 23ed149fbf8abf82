import { CinderblockError } from "@cinderblock/errors";
import type { CaughtUp } from "@cinderblock/transport";
import { partitionsCovered } from "./coverage.ts";

const silent = new CinderblockError("unavailable", "no answer");
const covered = (
  answers: (CaughtUp | Error)[],
  older = (): boolean => {
    throw new Error("was not asked");
  },
): Promise<boolean> =>
  partitionsCovered(answers, (a) => (a instanceof Error ? Promise.reject(a) : Promise.resolve(a)), older);

describe("what silent ingesters have", () => {
  it("is with the others when these have read every partition, in whatever zone", async () => {
    expect(
      await covered([
        { of: 4, partitions: [0, 1] },
        { of: 4, partitions: [3, 2, 1] },
      ]),
    ).toBe(true);
    expect(await covered([{ of: 4, partitions: [0, 1, 2, 3] }, silent])).toBe(true);
  });
  it("is not where one of them still catches up, has fallen silent, or nobody has a partition", async () => {
    expect(
      await covered([
        { of: 4, partitions: [0, 1, 2] },
        { of: 4, partitions: [] },
      ]),
    ).toBe(false);
    expect(await covered([{ of: 2, partitions: [0] }, silent])).toBe(false);
    // A topic that has grown: the one has not heard of it yet.
    expect(
      await covered([
        { of: 2, partitions: [0, 1] },
        { of: 3, partitions: [1] },
      ]),
    ).toBe(false);
    expect(await covered([])).toBe(false);
  });
  it("is judged as before where one of the release before answers", async () => {
    const old = new Error("this process does not know Ingester.caughtUp");
    expect([
      await covered([{ of: 1, partitions: [] }, old], () => true),
      await covered([{ of: 1, partitions: [0] }, old], () => false),
    ]).toEqual([true, false]);
  });
});
