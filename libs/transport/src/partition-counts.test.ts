import { PartitionCounts, targetsOf } from "./index.ts";

/** Token of a service that 4, 6 and 9 partitions place in the partitions 3, 5 and 8. */
const TOKEN = 35;

interface Sent {
  placedBy?: number[];
  /** absent: a fence */
  total?: number;
}

/** Growth, as intervals, that a partition counts of one cumulative series. */
function counted(partition: number, sent: readonly Sent[]): [number, number][] {
  const counts = new PartitionCounts(partition),
    found: [number, number][] = [];
  let baseline: number | undefined;
  sent.forEach(({ placedBy, total }, offset) => {
    if (placedBy && counts.addFence(offset, placedBy) && counts.isGone(offset, placedBy, TOKEN))
      baseline = undefined;
    if (total === undefined) return;
    const growth = counts.growthOf(offset, placedBy, TOKEN);
    if (growth === "ignored") return;
    if (baseline !== undefined) found.push([baseline, total]);
    else if (growth === "leaves") return;
    baseline = growth === "leaves" ? undefined : total;
  });
  return found;
}

describe("the growth that a partition counts", () => {
  it("ends in the old partition where the new one begins", () => {
    const both = { placedBy: [4, 6], total: 30 };
    expect(targetsOf(both.placedBy, TOKEN)).toEqual([3, 5]);
    expect(
      counted(3, [
        { placedBy: [4] },
        { placedBy: [4], total: 10 },
        { placedBy: [4, 6] },
        { placedBy: [4], total: 20 },
        both,
        { placedBy: [4, 6], total: 40 },
        { placedBy: [6] },
        { placedBy: [4], total: 50 },
      ]),
    ).toEqual([[10, 30]]);
    expect(
      counted(5, [
        { placedBy: [4] },
        { placedBy: [4, 6] },
        both,
        { placedBy: [4, 6], total: 40 },
        { placedBy: [6] },
        { placedBy: [6], total: 60 },
      ]),
    ).toEqual([
      [30, 40],
      [40, 60],
    ]);
  });
  it("follows records of earlier releases, which name no number, until a fence", () => {
    expect(counted(3, [{ total: 10 }, { total: 20 }, { placedBy: [4] }, { total: 30 }])).toEqual([
      [10, 20],
      [20, 30],
    ]);
    // Writers of an earlier release wrote to the new partition before the fence reached it.
    expect(
      counted(8, [
        { total: 10 },
        { placedBy: [4] },
        { total: 20 },
        { placedBy: [4, 9] },
        { total: 25 },
        { placedBy: [4, 9], total: 30 },
        { placedBy: [4, 9], total: 40 },
      ]),
    ).toEqual([[30, 40]]);
  });
  it("does not overlap when writers move by different numbers at once", () => {
    // A writer moves from 4 to 6, ends that move and moves from 6 to 9; a late writer moves from 4 to 9 at once.
    const last = { placedBy: [6, 9], total: 90 };
    const five = counted(5, [
      { placedBy: [4, 6] },
      { placedBy: [4, 6], total: 10 },
      { placedBy: [4, 6], total: 20 },
      { placedBy: [6] },
      { placedBy: [4, 9] },
      { placedBy: [6, 9] },
      last,
    ]);
    const eight = counted(8, [
      { placedBy: [4] },
      { placedBy: [4, 9] },
      { placedBy: [4, 9], total: 50 },
      { placedBy: [4, 9], total: 60 },
      { placedBy: [6] },
      { placedBy: [6, 9] },
      last,
    ]);
    expect([five, eight]).toEqual([[[10, 20]], [[50, 60]]]);
  });
  it("decides as before when records are read again, and starts over in a recreated topic", () => {
    const counts = new PartitionCounts(3);
    expect([counts.addFence(5, [4]), counts.addFence(9, [4, 6]), counts.addFence(12, [6])]).toEqual([
      true,
      true,
      true,
    ]);
    const again = new PartitionCounts(3, counts.saved);
    expect([
      again.growthOf(8, [4], TOKEN),
      again.growthOf(10, [4], TOKEN),
      again.growthOf(13, [6], TOKEN),
    ]).toEqual(["counts", "ignored", "ignored"]);
    expect([again.addFence(9, [4, 6]), again.addFence(10, [4, 6])]).toEqual([true, false]);
    again.reset();
    expect([again.settled, again.saved, again.growthOf(0, undefined, TOKEN)]).toEqual([0, [], "counts"]);
  });
});
