import { endOffsets, offsetRange } from "./index.ts";

describe("the ends of a topic", () => {
  it("are unknown if a partition has no leader, which would look empty", () => {
    const offsets = { topicId: "t", ranges: [{ start: 2, end: 5 }, undefined, { start: 0, end: 0 }] };
    expect(() => endOffsets(offsets)).toThrow("partition 1 of the log has no leader");
    expect(() => offsetRange(offsets, 1)).toThrow("partition 1 of the log has no leader");
    expect(() => offsetRange(offsets, 7)).toThrow("partition 7 of the log has no leader");
    expect(offsetRange(offsets, 0)).toEqual({ start: 2, end: 5 });
    expect(endOffsets({ topicId: "t", ranges: [{ start: 2, end: 5 }] })).toEqual([5]);
  });
});
