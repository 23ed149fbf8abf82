import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { tinyPprof } from "@cinderblock/testkit";
import { until } from "./pusher.ts";
import { CPU, Server } from "./server.ts";

const server = new Server();
const json = { accept: "application/json" };
const page = async (
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string; csp: string }> => {
  const r = await fetch(`${server.url}${path}`, { headers });
  return { status: r.status, text: await r.text(), csp: r.headers.get("content-security-policy") ?? "" };
};
const data = async <T>(path: string): Promise<T> => JSON.parse((await page(path, json)).text) as T;
const AT = Date.now() - 120_000;

beforeAll(async () => {
  const overrides = join(server.dir, "overrides.yaml");
  writeFileSync(overrides, "overrides:\n  big: {ingestion_rate_mb: 100, max_query_length: 48h}\n");
  await server.start(
    `-runtime-config.file=${overrides}`,
    "-pyroscopedb.ship-interval=200ms",
    "-query-frontend.log-queries-longer-than=1ms",
    "-querier.split-queries-by-interval=1h",
  );
  const profile = gzipSync(
    tinyPprof({ stacks: [{ frames: ["main"], values: [7] }], timeNanos: BigInt(AT) * 1_000_000n }),
  ).toString("base64");
  const r = await server.json("/push.v1.PusherService/Push", {
    series: [
      {
        labels: [
          { name: "__name__", value: "process_cpu" },
          { name: "service_name", value: "cart" },
        ],
        samples: [{ rawProfile: profile }],
      },
    ],
  });
  expect(r.status).toBe(200);
  await server.flush();
  await until(
    "the block is in the bucket",
    async () =>
      (await data<{ tenants: { blocks: number }[] }>("/store-gateway/tenants")).tenants[0]?.blocks === 1,
  );
});
afterAll(async () => {
  await server.stop();
});

describe("the pages for operators", () => {
  it("are linked from /admin, exist, and contain no scripts", async () => {
    const { pages } = await data<{ pages: { path: string }[] }>("/admin");
    expect(pages.map((p) => p.path)).toEqual(
      expect.arrayContaining([
        "/store-gateway/tenants",
        "/query-frontend/slow-queries",
        "/tenant-limits",
        "/runtime_config",
        "/metrics",
        "/debug/pprof/",
      ]),
    );
    expect(pages.map((p) => p.path)).not.toContain("/partitions"); // the single binary has no Kafka
    for (const { path } of pages) expect([path, (await page(path)).status]).toEqual([path, 200]);
    const index = await page("/admin");
    expect(index.csp).toContain("default-src 'none'");
    for (const { path } of pages) expect(index.text).toContain(`href="${path.slice(1)}"`);
  });

  it("show tenants, their blocks and each block, also under v1's admin paths", async () => {
    const { tenants } = await data<{ tenants: Record<string, unknown>[] }>("/store-gateway/tenants");
    expect(tenants).toEqual([
      { tenant: "anonymous", blocks: 1, bytes: expect.any(Number), profiles: 1, minTime: AT, maxTime: AT },
    ]);
    const { blocks } = await data<{
      blocks: { block: string; level: number; series: number; bytes: number }[];
    }>("/store-gateway/tenant/anonymous/blocks");
    expect(blocks).toHaveLength(1);
    expect(blocks[0]).toMatchObject({ level: 1, series: 1 });
    const { block } = blocks[0]!;
    const one = await data<{ files: { relPath: string; sizeBytes: number }[] }>(
      `/store-gateway/tenant/anonymous/blocks/${block}`,
    );
    expect(one.files.map((f) => f.relPath)).toEqual(
      expect.arrayContaining(["index.tsdb", "profiles.parquet"]),
    );
    for (const path of ["/store-gateway/tenants", "/ops/object-store/tenants"])
      expect((await page(path)).text).toContain("anonymous");
    for (const path of [
      "/store-gateway/tenant/anonymous/blocks?show_deleted=on&show_sources=on&show_parents=on",
      "/ops/object-store/tenants/anonymous/blocks",
      `/store-gateway/tenant/anonymous/blocks/${block}`,
      `/ops/object-store/tenants/anonymous/blocks/${block}`,
    ])
      expect((await page(path)).text).toContain(block);
    // Links between the pages also work below a proxy's prefix.
    expect((await page(`/store-gateway/tenant/anonymous/blocks/${block}`)).text).toContain(
      'href="../../../../store-gateway/tenant/anonymous/blocks"',
    );
    expect((await page("/a/prefix/store-gateway/tenant/anonymous/blocks")).text).toContain(block);
    for (const path of [
      "/store-gateway/tenant/nobody/blocks",
      "/store-gateway/tenant/anonymous/blocks/01ARZ3NDEKTSV4RRFFQ69G5FAV",
      "/store-gateway/tenant/%3Cscript%3E/blocks",
    ]) {
      const r = await page(path);
      expect([path, r.status]).toEqual([path, 404]);
      expect(r.text).not.toContain("<script>");
    }
  });

  it("show a block marked for deletion on request", async () => {
    const {
      blocks: [b],
    } = await data<{ blocks: { block: string }[] }>("/store-gateway/tenant/anonymous/blocks");
    writeFileSync(
      join(server.dir, "bucket", "anonymous", "phlaredb", "bucket-index.json.gz"),
      gzipSync(
        JSON.stringify({
          version: 3,
          blocks: [{ block_id: b!.block, min_time: AT / 1000, max_time: AT / 1000, uploaded_at: 1 }],
          block_deletion_marks: [{ block_id: b!.block, deletion_time: Math.floor(Date.now() / 1000) }],
          updated_at: Math.floor(Date.now() / 1000),
        }),
      ),
    );
    expect((await data<{ blocks: unknown[] }>("/store-gateway/tenant/anonymous/blocks")).blocks).toEqual([]);
    expect(
      (
        await data<{ blocks: { deletionMarkedAt: number }[] }>(
          "/store-gateway/tenant/anonymous/blocks?show_deleted=on",
        )
      ).blocks[0]!.deletionMarkedAt,
    ).toBeGreaterThan(AT);
  });

  it("show overrides of the tenants' defaults", async () => {
    const limits = await data<{ defaults: Record<string, unknown>; tenants: unknown[] }>("/tenant-limits");
    expect(limits.tenants).toEqual([
      { tenant: "big", limits: { ingestion_rate_mb: 100, max_query_length: "2d" } },
    ]);
    expect(limits.defaults.max_label_names_per_series).toBe(30);
    expect((await page("/tenant-limits")).text).toMatch(/big[^]*ingestion_rate_mb[^]*100/);
  });

  it("show slow queries, and the blocks that such a query reads", async () => {
    const selector = '{service_name="<script>alert(1)</script>"}',
      end = Date.now();
    await server.json("/querier.v1.QuerierService/SelectMergeStacktraces", {
      profileTypeID: CPU,
      labelSelector: selector,
      start: String(end - 3 * 3600_000),
      end: String(end),
    });
    await server.json("/querier.v1.QuerierService/SelectMergeStacktraces", {
      profileTypeID: CPU,
      labelSelector: "{",
      start: String(end - 3600_000),
      end: String(end),
    });
    const { queries } = await data<{
      queries: {
        id: number;
        selector: string;
        kind: string;
        parts: number;
        tenant: string;
        startMs: number;
        error: string;
      }[];
    }>("/query-frontend/slow-queries");
    const mine = queries.find((q) => q.selector === selector)!;
    expect(mine).toMatchObject({
      kind: "tree",
      tenant: "anonymous",
      parts: 4,
      startMs: end - 3 * 3600_000,
      error: "",
    });
    const shown = await page("/query-frontend/slow-queries");
    expect(shown.text).toContain("&#60;script&#62;");
    expect(shown.text).not.toContain("<script>");
    const plan = await data<{ blocks: { where: string; read: boolean; level: number }[] }>(
      `/query-frontend/slow-queries?plan=${mine.id}`,
    );
    expect(plan.blocks).toEqual([expect.objectContaining({ where: "bucket", read: true, level: 1 })]);
    expect((await page(`/query-frontend/slow-queries?plan=${mine.id}`)).text).toContain(
      "Current blocks of its time range",
    );
    expect((await page("/query-frontend/slow-queries?plan=999999")).status).toBe(404);
    // The page keeps only the beginning of a query of megabytes.
    await server.json("/querier.v1.QuerierService/LabelNames", {
      matchers: Array.from({ length: 100_000 }, () => '{a="b"}'),
      start: String(end - 1000),
      end: String(end),
    });
    expect((await page("/query-frontend/slow-queries", json)).text.length).toBeLessThan(100_000);
    expect(server.log()).toMatch(/msg="slow query".*kind=tree/);
  });
});
