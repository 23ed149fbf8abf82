import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { tinyPprof } from "@cinderblock/testkit";
import { until } from "./pusher.ts";
import { CPU, Server } from "./server.ts";

/**
 * A bucket with all kinds of foreign and damaged objects: queries still succeed, and reports name each
 * object.
 */
/** An even hour: the first two blocks are due to be merged. */
const HOUR = 3600_000,
  base = Math.floor(Date.now() / (2 * HOUR)) * 2 * HOUR - 6 * HOUR;
const PARTIAL = "01ARZ3NDEKTSV4RRFFQ69G5FA1",
  BROKEN_META = "01ARZ3NDEKTSV4RRFFQ69G5FA2";

async function flame(server: Server): Promise<{ total: number; partial: string; status: number }> {
  const r = await fetch(`${server.url}/querier.v1.QuerierService/SelectMergeStacktraces`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      profileTypeID: CPU,
      labelSelector: "{}",
      start: String(base - HOUR),
      end: String(base + 6 * HOUR),
    }),
  });
  const body = (await r.json()) as { flamegraph?: { total?: string } };
  return {
    total: Number(body.flamegraph?.total ?? 0),
    partial: r.headers.get("x-cinderblock-partial") ?? "",
    status: r.status,
  };
}

it("partial, corrupt, foreign and outdated objects do not stop any component; a metric, a log line and verify name them", async () => {
  const server = new Server();
  await server.start("-compactor.enabled=false", "-pyroscopedb.ship-interval=200ms");
  for (let h = 0; h < 3; h++) {
    for (let i = 0; i < 5; i++) {
      const raw = gzipSync(
        tinyPprof({
          stacks: [{ frames: ["main", `f${i}`], values: [1] }],
          timeNanos: BigInt(base + h * HOUR + i * 60_000) * 1_000_000n,
        }),
      ).toString("base64");
      expect(
        (
          await server.json("/push.v1.PusherService/Push", {
            series: [
              {
                labels: [
                  { name: "__name__", value: "process_cpu" },
                  { name: "service_name", value: "s" },
                ],
                samples: [{ rawProfile: raw }],
              },
            ],
          })
        ).status,
      ).toBe(200);
    }
    await server.flush();
  }
  await server.stop();
  const folder = join(server.dir, "bucket/anonymous/phlaredb"),
    local = join(server.dir, "db/anonymous/local");
  const blocks = readdirSync(folder)
    .filter((n) => n.length === 26)
    .sort();
  expect(blocks).toHaveLength(3);
  const put = (name: string, text: string | Uint8Array): void => {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  put(`${PARTIAL}/profiles.parquet`, "half");
  put(`${BROKEN_META}/meta.json`, "{ this is no meta");
  put("notes.txt", "somebody's");
  put("backup/2025/x", "somebody's");
  put("markers/strange", "somebody's");
  put("markers/01ARZ3NDEKTSV4RRFFQ69G5FA9-deletion-mark.json", "{}");
  put("bucket-index.json.gz", "not gzip");
  writeFileSync(join(server.dir, "bucket/README"), "somebody's");
  // Damages the samples of one block, in the bucket and in the ingester's copy.
  for (const dir of [folder, local]) {
    const path = join(dir, blocks[1]!, "profiles.parquet");
    const bytes = readFileSync(path);
    for (let i = 40; i < 400; i++) bytes[i]! ^= 0x5a;
    writeFileSync(path, bytes);
  }

  const verify = spawnSync(
    "apps/cli/bin/cinderblock-cli",
    ["blocks", "verify", `-storage.filesystem.dir=${server.dir}/bucket`, "-output=json"],
    { encoding: "utf8" },
  );
  expect(verify.status).toBe(1);
  const found = Object.fromEntries(
    (JSON.parse(verify.stdout) as { block: string; found: string }[]).map((r) => [r.block, r.found]),
  );
  expect(found).toMatchObject({
    [`${PARTIAL}/`]: expect.stringMatching(/^partial-block: meta.json is missing/),
    [`${BROKEN_META}/`]: expect.stringMatching(/^damaged-meta: /),
    "notes.txt": expect.stringMatching(/^foreign-object: /),
    "backup/": expect.stringMatching(/^foreign-object: /),
    "markers/strange": expect.stringMatching(/^foreign-object: /),
    "markers/01ARZ3NDEKTSV4RRFFQ69G5FA9-deletion-mark.json": expect.stringMatching(/^stray-mark: /),
    "bucket-index.json.gz": expect.stringMatching(/^damaged-index: /),
    [blocks[0]!]: "sound",
    [blocks[1]!]: expect.stringMatching(/profiles.parquet: at byte \d+/),
    [blocks[2]!]: "sound",
  });

  await server.start(
    "-compactor.cleanup-interval=300ms",
    "-compactor.compaction-interval=300ms",
    "-compactor.first-level-compaction-wait-period=0s",
    "-compactor.block-ranges=1h,2h",
    "-blocks-storage.bucket-store.sync-interval=300ms",
  );
  const answer = await flame(server);
  expect([answer.status, answer.total]).toEqual([200, 10]);
  expect(answer.partial).toContain(
    `damaged block ${blocks[1]!} is skipped: ${blocks[1]!}/profiles.parquet: at byte`,
  );
  expect(
    (await server.json("/querier.v1.QuerierService/LabelValues", { name: "service_name" })).body,
  ).toEqual({ names: ["s"] });
  const metrics = async (): Promise<string> => (await fetch(`${server.url}/metrics`)).text();
  await until(
    "the bucket was looked over",
    async () => {
      const text = await metrics();
      return [
        /pyroscope_bucket_blocks_partials_count\{user="anonymous"\} 1/,
        /cinderblock_bucket_damaged_metas\{user="anonymous"\} 1/,
        /cinderblock_bucket_foreign_objects\{user="anonymous"\} 2/,
        /cinderblock_querier_damaged_blocks_total [1-9]/,
        /pyroscope_compactor_blocks_marked_for_no_compaction_total\{reason="[a-z-]+"\} 1/,
      ].every((r) => r.test(text));
    },
    60_000,
  );
  for (const said of [PARTIAL, BROKEN_META, "notes.txt", "backup/"])
    expect(server.log()).toMatch(
      new RegExp(`msg="bucket contains an incomplete block or an unknown object".*${said}`),
    );
  expect(server.log()).toMatch(
    new RegExp(`msg="block is damaged, excluding it from compaction".*${blocks[1]!}`),
  );
  // Foreign files stay untouched.
  expect(readFileSync(join(folder, "notes.txt"), "utf8")).toBe("somebody's");
  expect((await flame(server)).total).toBe(10);
  await server.stop();

  // An outdated index: the store-gateway lists the bucket itself, so it misses no block.
  const path = join(folder, "bucket-index.json.gz"),
    index = JSON.parse(gunzipSync(readFileSync(path)).toString()) as {
      updated_at: number;
      blocks: unknown[];
    };
  writeFileSync(
    path,
    gzipSync(JSON.stringify({ ...index, updated_at: Math.floor(Date.now() / 1000) - 86_400, blocks: [] })),
  );
  const again = spawnSync(
    "apps/cli/bin/cinderblock-cli",
    ["blocks", "verify", `-storage.filesystem.dir=${server.dir}/bucket`],
    { encoding: "utf8" },
  );
  expect(again.stdout).toMatch(
    /bucket-index.json.gz +stale-index: last written at .* check that a compactor runs/,
  );
  await server.start("-compactor.cleanup-interval=1h", "-compactor.enabled=false");
  expect((await flame(server)).total).toBe(10);
  expect(server.log()).toMatch(
    /msg="bucket index is stale; check that a compactor runs" tenant=anonymous ageSeconds=864\d\d/,
  );
  expect(await metrics()).toMatch(
    /cinderblock_store_gateway_bucket_index_age_seconds\{user="anonymous"\} 864\d\d/,
  );
  await server.stop();
}, 120_000);
