import { InMemoryLog } from "./index.ts";
import { behavesAsPartitionedLog } from "./partitioned-log.testing.ts";

describe("a partitioned log in memory", () => {
  behavesAsPartitionedLog(async () => {
    const log = new InMemoryLog(3);
    await log.connect();
    return log;
  });
});
