import { type BlockMeta, newUlid } from "@cinderblock/block-meta";
import { deletionRequests, type RowSelection, requestDeletion, saveDeletion } from "@cinderblock/compact";
import { FilesystemBucket } from "@cinderblock/objstore";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import type { CompactorLimits } from "./limits.ts";
import { type UploadedBlock, Rewriter } from "./rewriter.ts";

const HOUR = 3600_000,
  DAY = 24 * HOUR,
  T0 = 1_795_000_000_000;

describe("a completed deletion request", () => {
  async function setUp() {
    const bucket = new FilesystemBucket(temporaryFolder()),
      clock = { now: T0 },
      counted: { block: string; drop: RowSelection }[] = [],
      rewritten: string[] = [];
    const rewriter = new Rewriter(
      bucket,
      {
        countDropped: (_, blocks, drops) => {
          blocks.forEach((b, i) => {
            for (const drop of drops[i]!) counted.push({ block: b.ulid, drop });
          });
          return Promise.resolve(drops.map((d) => d.map(() => 3)));
        },
        rewrite: async (_, block, __, ___, commit) => {
          rewritten.push(block.ulid);
          await commit("replacement");
        },
      },
      { firstLevelWaitMs: 0, retentionDryRun: false },
      { retentionRules: () => [] } as unknown as CompactorLimits,
      {
        log: createLogger({ level: "silent", format: "logfmt" }),
        metrics: new Metrics(),
        tracer: noTracer,
        now: () => clock.now,
      },
    );
    const request = await requestDeletion(bucket, {
      tenant: "t",
      selector: '{user="4711"}',
      startMs: 0,
      endMs: T0 + 30 * DAY,
      by: "test",
      reason: "",
      nowMs: T0,
      periodMs: DAY,
    });
    await saveDeletion(bucket, { ...request, state: "done", doneMs: T0 + DAY });
    clock.now = T0 + 5 * DAY;
    return { bucket, clock, counted, rewritten, rewriter };
  }
  const block = (fromMs: number, uploadedMs: number): UploadedBlock => {
    const ulid = newUlid(uploadedMs);
    const meta = {
      ulid,
      minTimeMs: fromMs,
      maxTimeMs: fromMs + HOUR,
      compaction: { level: 1, sources: [ulid], parents: [] },
    } as unknown as BlockMeta;
    return { meta, uploadedMs };
  };
  const pass = (rewriter: Rewriter, blocks: UploadedBlock[]): Promise<void> =>
    rewriter.rewriteTenant("t", blocks, new Set(blocks.map((b) => b.meta.ulid)));

  it("applies to a block with older data that arrives after its end, and stays completed", async () => {
    const { bucket, counted, rewritten, rewriter } = await setUp();
    const late = block(T0 - 10 * DAY, T0 + 4 * DAY);
    await pass(rewriter, [late]);
    expect(rewritten).toEqual([late.meta.ulid]);
    expect(counted[0]!.drop.endMs).toBe(T0 + DAY);
    expect((await deletionRequests(bucket, "t")).map((r) => [r.state, r.steps.length])).toEqual([
      ["done", 1],
    ]);
  });
  it("does not read blocks that existed before its end, nor newer data", async () => {
    const { counted, rewriter } = await setUp();
    await pass(rewriter, [block(T0 - 10 * DAY, T0), block(T0 + 3 * DAY, T0 + 4 * DAY)]);
    expect(counted).toEqual([]);
  });
  it("does nothing after its cancellation", async () => {
    const { bucket, counted, rewriter } = await setUp();
    const [request] = await deletionRequests(bucket, "t");
    await saveDeletion(bucket, { ...request!, state: "cancelled" });
    await pass(rewriter, [block(T0 - 10 * DAY, T0 + 4 * DAY)]);
    expect(counted).toEqual([]);
  });
});
