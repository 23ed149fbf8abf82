import { rmSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describeWith, startS3Server, tinyPprof } from "@cinderblock/testkit";
import { until } from "./pusher.ts";
import { CPU, Server } from "./server.ts";

/**
 * Months in a bucket: a query over thirty days costs a bounded number of requests, and few the second time.
 */
const HOUR = 3600_000,
  DAYS = 30;
/**
 * Requests of the first query of a block: meta, index, table and symbols, each in one request while the file
 * is small (docs/operations/running.md#query-limits).
 */
const PER_BLOCK = 4;
const base = Math.floor((Date.now() - (DAYS + 2) * 24 * HOUR) / (24 * HOUR)) * 24 * HOUR;

async function requests(server: Server): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return ["get", "get_range"].reduce(
    (n, op) =>
      n +
      Number(
        new RegExp(`objstore_bucket_operations_total\\{bucket="blocks",operation="${op}"\\} (\\d+)`).exec(
          text,
        )?.[1] ?? NaN,
      ),
    0,
  );
}
async function total(server: Server, service: string): Promise<number> {
  const r = await server.json("/querier.v1.QuerierService/SelectMergeStacktraces", {
    profileTypeID: CPU,
    labelSelector: `{service_name="${service}"}`,
    start: String(base),
    end: String(base + DAYS * 24 * HOUR - 1),
  });
  if (r.status !== 200) throw new Error(JSON.stringify(r.body));
  return Number((r.body.flamegraph as { total: string }).total);
}

describeWith(["s3"], "a bucket with months in it", () => {
  it("a flame graph of thirty days makes a limited number of requests, and the disk cache answers after a restart", async () => {
    const s3 = await startS3Server(["blocks"]);
    const server = new Server();
    const flags = [
      "-storage.backend=s3",
      `-storage.s3.endpoint=${s3.endpoint}`,
      "-storage.s3.insecure=true",
      "-storage.s3.bucket-name=blocks",
      `-storage.s3.access-key-id=${s3.accessKeyId}`,
      `-storage.s3.secret-access-key=${s3.secretAccessKey}`,
      "-pyroscopedb.max-block-duration=8h",
      "-compactor.block-ranges=8h,24h",
      "-blocks-storage.bucket-store.sync-interval=300ms",
    ];
    await server.start(
      ...flags,
      "-compactor.first-level-compaction-wait-period=0s",
      "-compactor.compaction-interval=300ms",
      "-compactor.cleanup-interval=300ms",
      "-compactor.deletion-delay=0s",
      "-blocks-storage.bucket-store.ignore-deletion-marks-delay=0s",
    );
    for (let d = 0; d <= DAYS; d++) {
      for (let h = 0; h < 24; h += 2) {
        const series = ["a", "b", "c"].map((s, i) => ({
          labels: [
            { name: "__name__", value: "process_cpu" },
            { name: "service_name", value: s },
          ],
          samples: [
            {
              rawProfile: gzipSync(
                tinyPprof({
                  stacks: [{ frames: ["main", `${s}${h % 5}`], values: [i + 1] }],
                  timeNanos: BigInt(base + (d * 24 + h) * HOUR + 1) * 1_000_000n,
                }),
              ).toString("base64"),
            },
          ],
        }));
        expect((await server.json("/push.v1.PusherService/Push", { series })).status).toBe(200);
      }
    }
    await server.flush();
    const figure = async (name: string): Promise<number> =>
      Number(
        new RegExp(`^${name} (\\d+)`, "m").exec(await (await fetch(`${server.url}/metrics`)).text())?.[1],
      );
    await until(
      "a block for each day",
      async () =>
        (await figure("pyroscope_compactor_group_compactions_total")) >= DAYS &&
        (await figure("pyroscope_bucket_store_blocks_loaded")) <= DAYS + 3,
      120_000,
    );
    await server.stop();
    rmSync(join(server.dir, "db"), { recursive: true });
    rmSync(join(server.dir, "sync"), { recursive: true, force: true });

    const ask = async (): Promise<{ requests: number; ms: number }> => {
      const before = await requests(server),
        started = performance.now();
      expect(await total(server, "b")).toBe(DAYS * 12 * 2);
      const ms = Math.round(performance.now() - started);
      return { requests: (await requests(server)) - before, ms };
    };
    const reader = [
      ...flags.filter((f) => !f.includes("sync-interval")),
      "-compactor.enabled=false",
      "-compactor.cleanup-interval=1h",
    ];
    await server.start(...reader);
    const cold = await ask();
    expect(cold.requests).toBeGreaterThanOrEqual(DAYS);
    expect(cold.requests).toBeLessThanOrEqual((DAYS + 3) * PER_BLOCK);
    const warm = await ask();
    expect(warm.requests).toBe(0); // in memory
    await server.stop();
    await server.start(...reader);
    const disk = await ask();
    expect(disk.requests).toBeLessThanOrEqual(DAYS + 3); // metas; all other files are on the disk
    expect(await (await fetch(`${server.url}/metrics`)).text()).toMatch(
      /cinderblock_block_disk_cache_pieces_total\{result="hit"\} [1-9]/,
    );
    await server.stop();
    process.stderr.write(`thirty days: ${JSON.stringify({ blocks: DAYS + 1, cold, warm, disk })}\n`);
  }, 300_000);
});
