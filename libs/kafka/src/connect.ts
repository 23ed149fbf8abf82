import { sleep } from "@cinderblock/async";
import { kindOf } from "@cinderblock/errors";
import type { Base } from "@cinderblock/telemetry";
import type { PartitionedLog } from "./partitioned-log.ts";

/**
 * Connects and retries without limit while the brokers are away.
 * @throws `invalid` when the topic is unusable
 */
export async function connectWithRetries(log: PartitionedLog, base: Base): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      for (const why of await log.connect())
        base.log.warn({ why }, "partitioned log does not protect its records");
      return;
    } catch (err) {
      if (kindOf(err) === "invalid") throw err;
      if (tries % 10 === 0) base.log.warn({ err }, "partitioned log is unreachable, retrying");
      await sleep(Math.min(3000, 200 * 2 ** tries));
    }
  }
}
