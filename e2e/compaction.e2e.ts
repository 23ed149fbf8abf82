import { cpSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describeWith, Random } from "@cinderblock/testkit";
import { Oracle } from "./oracle.ts";
import { Server } from "./server.ts";

const oracle = new Oracle();
/** v1's buckets hold 40 minutes in five-minute blocks: matching ranges, no waiting periods. */
const FLAGS = [
  "-pyroscopedb.max-block-duration=5m",
  "-compactor.block-ranges=5m,10m,20m",
  "-compactor.first-level-compaction-wait-period=0s",
  "-compactor.compaction-interval=300ms",
  "-blocks-storage.bucket-store.sync-interval=300ms",
];
/** Deletes marked blocks at once. */
const DELETE = [
  "-compactor.cleanup-interval=300ms",
  "-compactor.deletion-delay=0s",
  "-blocks-storage.bucket-store.ignore-deletion-marks-delay=0s",
];

function copyOf(bucket: string): Server {
  const server = new Server();
  mkdirSync(join(server.dir, "bucket"), { recursive: true });
  cpSync(join(oracle.data!, "buckets", bucket), join(server.dir, "bucket"), { recursive: true });
  execFileSync("chmod", ["-R", "u+w", join(server.dir, "bucket")]);
  return server;
}

interface Meta {
  ulid: string;
  labels: Record<string, string>;
  compaction: { level: number; hints?: string[] };
  files: { relPath: string }[];
  stats: { numProfiles: number };
}
function metas(server: Server): Meta[] {
  const dir = join(server.dir, "bucket/anonymous/phlaredb");
  return readdirSync(dir)
    .filter((n) => n.length === 26)
    .flatMap((n) => {
      try {
        return [JSON.parse(readFileSync(join(dir, n, "meta.json"), "utf8")) as Meta];
      } catch {
        return []; /* being uploaded or deleted */
      }
    });
}

const metric = async (server: Server, name: string): Promise<number> =>
  Number(
    new RegExp(`^${name} (\\d+)`, "m").exec(await (await fetch(`${server.url}/metrics`)).text())?.[1] ?? 0,
  );

/** Waits for two more successful runs, the last without jobs, and for a cleanup after them. */
async function settled(server: Server): Promise<void> {
  const until = Date.now() + 60_000;
  for (let jobs = -1; Date.now() < until; ) {
    const runs = await metric(server, "pyroscope_compactor_runs_completed_total");
    const now = await metric(server, "pyroscope_compactor_group_compactions_total");
    if (runs >= 2 && now === jobs) return;
    jobs = now;
    await new Promise((r) => {
      setTimeout(r, 1500);
    });
  }
  throw new Error(`compaction did not settle: ${server.log().slice(-2000)}`);
}

describeWith(["oracle"], "compaction", () => {
  it.each([
    ["ingester", [], 3],
    [
      "ingester",
      [
        "-compactor.split-and-merge-shards=2",
        "-compactor.split-groups=2",
        "-compactor.downsampler-enabled=true",
      ],
      3,
    ],
    [
      "compacted",
      ["-compactor.split-and-merge-shards=3", "-compactor.compaction-split-by=stacktracePartition"],
      2,
    ],
    ["split", ["-compactor.split-and-merge-shards=2"], 4],
  ])(
    "of v1's bucket %s with %j returns v1's answers after the inputs are deleted",
    async (bucket, flags, level) => {
      const server = copyOf(bucket);
      const before = metas(server).map((m) => m.ulid);
      await server.start(...FLAGS, ...DELETE, ...flags);
      await settled(server);
      await oracle.expectBucketAnswers(server, `compacted-${bucket}-${flags.length}`);
      await server.stop();
      const after = metas(server);
      expect(Math.max(...after.map((m) => m.compaction.level))).toBeGreaterThanOrEqual(level);
      expect(before.filter((u) => after.some((m) => m.ulid === u)).length).toBeLessThan(before.length);
      for (const m of after.filter(
        (x) => x.compaction.level >= 3 && flags.includes("-compactor.downsampler-enabled=true"),
      ))
        expect(m.files.map((f) => f.relPath)).toEqual(
          expect.arrayContaining(["profiles_1h_sum.parquet", "profiles_5m_sum.parquet"]),
        );
    },
  );

  it.each([
    [3, 8],
    [40, 4],
  ])(
    "into %i shards, killed at random %i times, returns no wrong answer and ends with the undisturbed result",
    async (shards, kills) => {
      const server = copyOf("ingester");
      const random = new Random(20261124 + shards);
      const flags = [...FLAGS, `-compactor.split-and-merge-shards=${shards}`];
      for (let kill = 0; kill < kills; kill++) {
        await server.start(...flags);
        // The first run starts after 300 ms and takes about two seconds.
        await new Promise((r) => {
          setTimeout(r, 200 + random.below(1200));
        });
        if (kill % 4 === 3) await oracle.expectBucketAnswers(server, `kill-${shards}-${kill}`);
        await server.stop("SIGKILL");
      }
      await server.start(...flags, ...DELETE);
      await settled(server);
      await oracle.expectBucketAnswers(server, `kill-after-${shards}`);
      await server.stop();
      const whole = metas(server).filter((m) => m.compaction.level > 1);
      // Each (level, shard, range) exists once: the compactor marks duplicates as outdated and deletes them.
      const keys = whole.map(
        (m) =>
          `${m.compaction.level}/${m.labels.__compactor_shard_id__}/${JSON.stringify((m as unknown as { minTime: number }).minTime)}`,
      );
      expect(new Set(keys).size).toBe(keys.length);
      // There are too few series for forty shards: some shards are empty, and the others name them in their
      // hints.
      if (shards === 40)
        expect(whole.some((m) => (m.compaction.hints ?? []).some((h) => h.startsWith("empty-shard:")))).toBe(
          true,
        );
    },
  );
});
