import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { canonical } from "./golden-v1.ts";
import { until } from "./pusher.ts";
import { folder, Server } from "./server.ts";

interface Answer {
  name: string;
  path: string;
  request: Record<string, unknown>;
  status: number;
  body: Record<string, unknown>;
}

/**
 * Pyroscope v1's own answers over `testdata/v1/compacted`; testdata/README.md says how they were recorded.
 */
const answers = JSON.parse(gunzipSync(readFileSync("testdata/v1/answers.json.gz")).toString()) as Answer[];

interface Meta {
  compaction: { level: number };
}

async function compare(server: Server): Promise<void> {
  for (const { name, path, request, status, body } of answers) {
    const ours = await server.json(`/${path}`, request);
    expect([name, ours.status]).toEqual([name, status]);
    expect([name, canonical(path, ours.body)]).toEqual([name, canonical(path, body)]);
  }
}

describe("buckets of Pyroscope v1", () => {
  // The three buckets hold the same profiles, so the answers of one bucket apply to all.
  it.each(["ingester", "compacted", "split"])("%s returns v1's answers", async (bucket) => {
    const server = new Server(folder());
    cpSync(`testdata/v1/${bucket}`, `${server.dir}/bucket`, { recursive: true });
    await server.start();
    await compare(server);
    await server.stop();
  });

  it("keep their answers after a merge by our compactor", async () => {
    const server = new Server(folder());
    cpSync("testdata/v1/ingester", `${server.dir}/bucket`, { recursive: true });
    await server.start(
      "-pyroscopedb.max-block-duration=5m",
      "-compactor.block-ranges=5m,10m,20m",
      "-compactor.compaction-interval=300ms",
      "-compactor.first-level-compaction-wait-period=0s",
      "-compactor.downsampler-enabled=true",
      "-compactor.cleanup-interval=300ms",
      "-compactor.deletion-delay=0s",
      "-blocks-storage.bucket-store.ignore-deletion-marks-delay=0s",
      "-blocks-storage.bucket-store.sync-interval=300ms",
    );
    const blocks = `${server.dir}/bucket/anonymous/phlaredb`;
    const levels = (): Promise<number[]> =>
      Promise.resolve(
        readdirSync(blocks)
          .filter((n) => existsSync(join(blocks, n, "meta.json")))
          .map(
            (n) => (JSON.parse(readFileSync(join(blocks, n, "meta.json"), "utf8")) as Meta).compaction.level,
          )
          .sort(),
      );
    // As in v1: one block of level 3 for twenty minutes, and the last block, which is not old enough.
    await until("compacted", async () => (await levels()).join() === "1,3");
    await compare(server);
    await server.stop();
  });
});
