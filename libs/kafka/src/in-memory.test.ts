import { InMemoryLog } from "./index.ts";
import { behavesAsPartitionedLog } from "./partitioned-log.testing.ts";

describe("a partitioned log in memory", () => {
  behavesAsPartitionedLog(async () => {
    const log = new InMemoryLog(3);
    await log.connect();
    const done = (what: () => void): Promise<void> => Promise.resolve(what());
    return {
      log,
      accidents: {
        addPartitions: (count) => done(() => log.addPartitions(count)),
        recreate: (partitions) => done(() => log.recreate(partitions)),
        expire: (partition, before) => done(() => log.expire(partition, before)),
      },
    };
  });

  it("keeps the configured bytes per partition, and drops the oldest records, read or not", async () => {
    const log = new InMemoryLog(1, { retentionBytes: 5 });
    for (const text of ["aa", "bb", "cc"]) await log.produce(0, Buffer.from(text));
    expect((await log.offsets()).ranges).toEqual([{ start: 1, end: 3 }]);
  });
});
