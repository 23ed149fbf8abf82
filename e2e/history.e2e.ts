import {
  describeWith,
  faultProxy,
  startKafka,
  startRedis,
  startS3Server,
  temporaryFolder,
} from "@cinderblock/testkit";
import type { Stores } from "./history/deployment.ts";
import { writeReport } from "./history/report.ts";
import { type Outcome, repeatCommand, runSchedule, shapeOf } from "./history/schedule.ts";

let stores: Stores;
const outcomes: Outcome[] = [];
/** File for seeds and results; none without the variable. */
const REPORT =
  process.env.CINDERBLOCK_REPORT ?? (process.env.CINDERBLOCK_LONG ? "docs/history-schedules.md" : "");

const COUNT = process.env.CINDERBLOCK_LONG ? 300 : 30;
/** Seeds of the schedules to run, separated by commas. */
const SEEDS =
  process.env.CINDERBLOCK_SEED?.split(",").map(Number) ?? Array.from({ length: COUNT }, (_, i) => i + 1);

describeWith(["redis", "s3", "kafka"], "histories of pushes and answers under faults from a seed", () => {
  beforeAll(async () => {
    const [redis, s3, kafka] = await Promise.all([startRedis(), startS3Server([]), startKafka()]);
    stores = { redis, s3, kafka, compileCache: temporaryFolder(), proxy: await faultProxy(s3.endpoint) };
  }, 240_000);
  afterAll(() => stores.proxy.stop());

  it.each(SEEDS)(
    "seed %i: every acknowledged profile is in every complete answer exactly once",
    async (seed) => {
      const o = await runSchedule(seed, stores);
      outcomes.push(o);
      if (REPORT) writeReport(REPORT, outcomes);
      process.stdout.write(
        `     seed ${seed} (${o.shape}): ${o.acknowledged} acknowledged of ${o.sent} sent; answers: ${o.answers.whole} whole, ${o.answers.partial} partial, ${o.answers.failed} failed; ${o.seconds.toFixed(1)} s (${o.phases.map((p) => p.toFixed(1)).join(", ")}); ${o.faults.join(" | ")} | ${o.ending}\n`,
      );
      if (o.problem !== "")
        throw new Error(`seed ${seed} (${shapeOf(seed)}), repeated by: ${repeatCommand(seed)}\n${o.problem}`);
    },
    300_000,
  );
});
