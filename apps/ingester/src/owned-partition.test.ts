import { Random } from "@cinderblock/testkit";
import { PartitionCounts } from "@cinderblock/transport";
import { OwnedPartition } from "./owned-partition.ts";

/** Time from the write of a record to the moment from which its partition is late while the record is unread. */
const BOUND_MS = 30_000;

describe("the lag of a partition", () => {
  it("makes it late 30 s after the write of an unread record, with any looks at the end and any reading", () => {
    const found: string[] = [];
    for (let seed = 0; seed < 300; seed++) {
      const random = new Random(seed),
        o = new OwnedPartition("topic", 0, new PartitionCounts(0)),
        writtenAt: number[] = [];
      // Some runs look every five seconds and some rarely; some read nothing for long, and some lag all the time.
      const looks = 1 + random.below(15),
        reads = 1 + random.below(20),
        batch = 1 + random.below(30);
      for (let s = 1; s <= 180; s++) {
        const nowMs = s * 1000;
        for (let n = random.below(4); n > 0; n--) writtenAt.push(nowMs);
        if (random.below(reads) === 0)
          o.position = Math.min(writtenAt.length, o.position + random.below(batch));
        if (random.below(looks) === 0) o.setRange({ start: 0, end: writtenAt.length }, nowMs);
        const oldest = writtenAt[o.position];
        if (oldest !== undefined && nowMs - oldest > BOUND_MS && !o.isLate(nowMs))
          found.push(`seed ${seed}: record ${o.position} is unread for ${nowMs - oldest} ms`);
      }
    }
    expect(found.slice(0, 5)).toEqual([]);
  });
  it("does not make it late while each end is reached within 15 s", () => {
    const o = new OwnedPartition("topic", 0, new PartitionCounts(0));
    for (let s = 5; s <= 600; s += 5) {
      // The reader is always ten seconds behind the end.
      o.position = Math.max(0, s - 10);
      o.setRange({ start: 0, end: s }, s * 1000);
      expect([s, o.isLate(s * 1000 + 4999)]).toEqual([s, false]);
    }
  });
  it("does not follow the ends of a deleted topic", () => {
    const o = new OwnedPartition("", 0, new PartitionCounts(0));
    o.setRange({ start: 0, end: 1000 }, 1000);
    o.beginAt(0, 2000, 2000);
    o.restart();
    o.setRange({ start: 0, end: 5 }, 3000);
    o.position = 5;
    expect([o.isLate(17_000), o.isCaughtUp, o.toPartitionState(0, "a", 1, 17_000).end]).toEqual([
      false,
      false,
      5,
    ]);
  });
  it("counts an end without a new report as late", () => {
    const o = new OwnedPartition("topic", 0, new PartitionCounts(0));
    o.setRange({ start: 0, end: 0 }, 1000);
    expect([o.isLate(16_000), o.isLate(16_001)]).toEqual([false, true]);
  });
});
