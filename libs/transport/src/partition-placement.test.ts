import { PartitionPlacement, targetsOf } from "./index.ts";

/** A writer and its fences; partitions refuse every fence while `fails`, and the fences in `refused`. */
function writer() {
  const state = { fails: false, refused: "", nowMs: 0, fences: [] as string[] };
  const placement = new PartitionPlacement({
    handOverMs: 1000,
    announce: (placedBy) => {
      const name = placedBy.join("→"),
        fails = state.fails || name === state.refused;
      state.fences.push(`${name}${fails ? " failed" : ""}`);
      return Promise.resolve(!fails);
    },
    now: () => state.nowMs,
  });
  return Object.assign(state, { placement });
}

describe("a writer's numbers of partitions", () => {
  it("grow step by step, each step after its fence", async () => {
    const w = writer();
    expect(w.placement.placedBy).toEqual([]);
    await w.placement.advance(0, 0);
    expect(w.placement.placedBy).toEqual([]);
    await w.placement.advance(4, 0);
    await w.placement.advance(4, 4);
    expect([w.placement.placedBy, w.fences]).toEqual([[4], ["4"]]);
    await w.placement.advance(6, 4);
    await w.placement.advance(9, 4);
    expect([w.placement.placedBy, w.fences]).toEqual([
      [4, 6],
      ["4", "4", "4→6"],
    ]);
    w.nowMs = 999;
    await w.placement.advance(9, 4);
    expect(w.placement.placedBy).toEqual([4, 6]);
    w.nowMs = 1000;
    await w.placement.advance(9, 4);
    expect([w.placement.placedBy, w.fences.at(-1)]).toEqual([[6], "6"]);
    await w.placement.advance(9, 6);
    expect([w.placement.placedBy, w.fences.at(-1)]).toEqual([[6, 9], "6→9"]);
  });
  it("stay while a partition does not take the fence, and no partition learns of the move before", async () => {
    const w = writer();
    await w.placement.advance(4, 4);
    w.fails = true;
    await w.placement.advance(6, 4);
    expect([w.placement.placedBy, w.fences]).toEqual([[4], ["4 failed"]]);
    w.fails = false;
    w.refused = "4→6";
    await w.placement.advance(6, 4);
    expect(w.placement.placedBy).toEqual([4]);
    w.refused = "";
    await w.placement.advance(6, 4);
    w.fails = true;
    w.nowMs = 5000;
    await w.placement.advance(6, 4);
    expect([w.placement.placedBy, w.fences]).toEqual([
      [4, 6],
      ["4 failed", "4", "4→6 failed", "4→6", "6 failed"],
    ]);
  });
  it("begin with the number whose fence all partitions have, whatever the topic's number is", async () => {
    const w = writer();
    await w.placement.advance(6, 4);
    expect([w.placement.placedBy, w.fences]).toEqual([
      [4, 6],
      ["4", "4→6"],
    ]);
  });
  it("of a new topic are used at once; a partition without its fence gets it later", async () => {
    const w = writer();
    w.fails = true;
    await w.placement.advance(4, 0);
    expect(w.placement.placedBy).toEqual([4]);
    w.fails = false;
    await w.placement.advance(4, 0);
    await w.placement.advance(4, 0);
    expect(w.fences).toEqual(["4 failed", "4"]);
  });
  it("follow those of other writers", async () => {
    const w = writer();
    await w.placement.advance(4, 4);
    await w.placement.advance(6, 4);
    await w.placement.advance(6, 6);
    expect([w.placement.placedBy, w.fences]).toEqual([[6], ["4", "4→6"]]);
  });
  it("name each partition of a service once, the old partition first", () => {
    expect([targetsOf([4], 9), targetsOf([4, 6], 9), targetsOf([4, 6], 13)]).toEqual([[1], [1, 3], [1]]);
  });
});
