import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { InMemoryLog } from "@cinderblock/kafka";
import { placementToken } from "@cinderblock/ring";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import type { OwnedPartition } from "./owned-partition.ts";
import { PartitionClaims } from "./partition-claims.ts";
import { PartitionPositions } from "./partition-positions.ts";
import type { RecordSink } from "./record-intake.ts";

type Gone = Parameters<RecordSink["forgetBaselines"]>[0];

const serviceIn = (place: (token: number) => boolean): string =>
  Array.from({ length: 500 }, (_, i) => `s${i}`).find((s) => place(placementToken("t", s)))!;

describe("a claim of a partition that others had meanwhile", () => {
  it("forgets what this partition taught, also of services that were in it by an earlier number of partitions", async () => {
    const log = new InMemoryLog(6),
      dir = temporaryFolder(),
      fences = [
        { offset: 0, placedBy: [4] },
        { offset: 0, placedBy: [4, 6] },
      ];
    for (let i = 0; i < 2; i++) await log.produce(1, Uint8Array.of(i));
    const other = await log.read(1, {
      group: "pushes-partition-1",
      topicId: log.topicId,
      from: 0,
      again: false,
      onRecords: () => Promise.resolve(),
      onGap: () => undefined,
      onEnd: () => undefined,
    });
    await other.commit(2);
    await other.stop();
    writeFileSync(
      join(dir, "partitions.json"),
      JSON.stringify({
        topic: "pushes",
        topicIds: { 1: log.topicId },
        positions: { 1: 1 },
        committed: { 1: 0 },
        fences: { 1: fences },
      }),
    );
    const asked: Gone[] = [];
    const sink = {
      forgetBaselines: (gone: Gone) => {
        asked.push(gone);
        return Promise.resolve();
      },
    } as unknown as RecordSink;
    const claims = new PartitionClaims(
      { topic: "pushes", zone: "", learnMs: 1000 },
      log,
      sink,
      new PartitionPositions(join(dir, "partitions.json"), "pushes"),
      {
        log: createLogger({ level: "fatal", format: "json" }),
        metrics: new Metrics(),
        tracer: startTracing("", "0"),
        now: () => Date.now(),
      },
    );
    let claimed: OwnedPartition | undefined;
    await claims.claim(
      1,
      () => Promise.resolve(),
      (o) => {
        claimed = o;
      },
    );
    await claimed!.reader!.stop();
    expect(claimed!.counts.saved).toEqual(fences);
    expect(asked).toHaveLength(1);
    const [gone] = asked as [Gone];
    // Baselines name the partition that taught them.
    expect([gone("t", "any", 1), gone("t", "any", 0), gone("t", "any", 5)]).toEqual([true, false, false]);
    // Those of an earlier release do not.
    const left = serviceIn((t) => t % 4 === 1 && t % 6 !== 1),
      stays = serviceIn((t) => t % 6 === 1 && t % 4 !== 1),
      never = serviceIn((t) => t % 4 !== 1 && t % 6 !== 1);
    expect([gone("t", left), gone("t", stays), gone("t", never)]).toEqual([true, true, false]);
  });
});
