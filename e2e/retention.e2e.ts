import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { tinyPprof } from "@cinderblock/testkit";
import { settle, until } from "./pusher.ts";
import { CPU, folder, Server } from "./server.ts";

/**
 * Retention, compaction and deletion of old data. Profiles have times in the past, so no test waits for time
 * to pass.
 */
const HOUR = 3600_000,
  DAY = 24 * HOUR;
const FAST = [
  "-compactor.block-ranges=1h,2h,8h",
  "-compactor.first-level-compaction-wait-period=0s",
  "-compactor.compaction-interval=300ms",
  "-compactor.cleanup-interval=300ms",
  "-compactor.deletion-delay=0s",
  "-blocks-storage.bucket-store.ignore-deletion-marks-delay=0s",
  "-blocks-storage.bucket-store.sync-interval=300ms",
  "-pyroscopedb.ship-interval=200ms",
];
/** Ten days ago, at the start of an eight-hour range. */
const base = Math.floor((Date.now() - 10 * DAY) / (8 * HOUR)) * 8 * HOUR;

async function push(
  server: Server,
  service: string,
  timeMs: number,
  value: number,
  tenant = "",
): Promise<void> {
  const body = gzipSync(
    tinyPprof({
      stacks: [{ frames: ["main", service, `f${timeMs % 7}`], values: [value] }],
      timeNanos: BigInt(timeMs) * 1_000_000n,
    }),
  );
  const r = await server.json(
    "/push.v1.PusherService/Push",
    {
      series: [
        {
          labels: [
            { name: "__name__", value: "process_cpu" },
            { name: "service_name", value: service },
          ],
          samples: [{ rawProfile: body.toString("base64") }],
        },
      ],
    },
    tenant === "" ? {} : { "X-Scope-OrgID": tenant },
  );
  if (r.status !== 200) throw new Error(JSON.stringify(r.body));
}

/**
 * The sum of a service's profiles in [startMs, endMs], from flame graph and time series, which must agree.
 */
async function sum(
  server: Server,
  service: string,
  startMs = base - DAY,
  endMs = base + DAY,
  tenant = "",
  tries = 0,
): Promise<number> {
  const headers = tenant === "" ? undefined : { "X-Scope-OrgID": tenant };
  const select = {
    profileTypeID: CPU,
    labelSelector: `{service_name="${service}"}`,
    start: String(startMs),
    end: String(endMs),
  };
  const flame = await server.json("/querier.v1.QuerierService/SelectMergeStacktraces", select, headers);
  const line = await server.json(
    "/querier.v1.QuerierService/SelectSeries",
    { ...select, step: 60, groupBy: [] },
    headers,
  );
  if (flame.status !== 200 || line.status !== 200) throw new Error(JSON.stringify([flame.body, line.body]));
  const total = Number((flame.body.flamegraph as { total?: string } | undefined)?.total ?? 0);
  const points = ((line.body.series ?? []) as { points: { value: number }[] }[]).reduce(
    (n, s) => n + s.points.reduce((m, p) => m + Number(p.value), 0),
    0,
  );
  // A time series begins one step before its range.
  // During a deletion, a block may be rewritten between the two queries: then repeat both.
  if (startMs < base && total !== points && tries > 0)
    return sum(server, service, startMs, endMs, tenant, tries - 1);
  if (startMs < base && total !== points)
    throw new Error(`the flame graph has ${total}, the time line ${points}`);
  return total;
}

function cli(server: Server, ...args: string[]): { status: number | null; out: string; err: string } {
  const r = spawnSync(
    "apps/cli/bin/cinderblock-cli",
    [...args, `-storage.filesystem.dir=${server.dir}/bucket`],
    { encoding: "utf8" },
  );
  return { status: r.status, out: r.stdout, err: r.stderr };
}

interface Meta {
  ulid: string;
  labels: Record<string, string>;
  compaction: { level: number };
  files: { relPath: string }[];
  stats: { numProfiles: number };
}
function metas(server: Server, tenant = "anonymous"): Meta[] {
  const dir = join(server.dir, "bucket", tenant, "phlaredb");
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
    new RegExp(`^${name.replace(/[{}"]/g, "\\$&")} ([\\d.e+]+)`, "m").exec(
      await (await fetch(`${server.url}/metrics`)).text(),
    )?.[1] ?? NaN,
  );

/** Four hours with ten profiles of each service per hour; a flush after each hour. */
async function fourHours(server: Server, services: readonly string[]): Promise<void> {
  for (let h = 0; h < 4; h++) {
    for (let i = 0; i < 10; i++)
      for (const s of services) await push(server, s, base + h * HOUR + i * 60_000 + 1, 1 + i);
    await server.flush();
  }
}
const PER_HOUR = 55;

describe("old data", () => {
  it("loses the requested series and times only: in shards, downsampled tables, and late blocks", async () => {
    const server = new Server();
    // The results cache is on: no cached answer may outlive its blocks.
    const flags = [
      ...FAST,
      "-compactor.split-and-merge-shards=2",
      "-compactor.downsampler-enabled=true",
      "-query-frontend.results-cache.backend=memory",
      "-querier.split-queries-by-interval=1h",
    ];
    await server.start(...flags);
    await fourHours(server, ["keep", "gone", "other"]);
    await until(
      "blocks are merged to the widest range and downsampled",
      async () =>
        (await Promise.resolve(metas(server))).some(
          (m) => m.compaction.level >= 3 && m.files.some((f) => f.relPath === "profiles_1h_sum.parquet"),
        ),
      60_000,
    );
    expect([await sum(server, "keep"), await sum(server, "gone"), await sum(server, "other")]).toEqual([
      4 * PER_HOUR,
      4 * PER_HOUR,
      4 * PER_HOUR,
    ]);

    const from = new Date(base + HOUR).toISOString(),
      to = new Date(base + 3 * HOUR - 1).toISOString();
    const ask = [
      "series",
      "delete",
      '-query={service_name="gone"}',
      `-from=${from}`,
      `-to=${to}`,
      "-reason=a person left",
      "-by=dpo",
      "-output=json",
    ];
    const dry = cli(server, ...ask, "-dry-run");
    expect(dry.err).toMatch(/^20 profiles in \d+ blocks would be deleted \(dry run\)/);
    expect(cli(server, "deletions", "list", "-output=json").out).toBe("[]\n");
    expect(cli(server, "series", "delete", `-from=${from}`, `-to=${to}`)).toMatchObject({
      status: 1,
      err: expect.stringContaining("at least one matcher"),
    });

    // Queries throughout: data that must stay is always complete.
    let stop = false,
      asked = 0;
    const watching = (async () => {
      while (!stop) {
        expect(await sum(server, "keep")).toBe(4 * PER_HOUR);
        const g = await sum(server, "gone", undefined, undefined, "", 4);
        expect(g % PER_HOUR).toBe(0);
        asked++;
      }
    })();
    expect(cli(server, ...ask)).toMatchObject({
      status: 0,
      err: expect.stringMatching(/^request \w{26}: 20 profiles/),
    });
    await until(
      "the series is gone from the range",
      async () => (await sum(server, "gone")) === 2 * PER_HOUR,
      60_000,
    );
    stop = true;
    await watching;
    expect(asked).toBeGreaterThan(1);
    expect([
      await sum(server, "gone", base, base + HOUR - 1),
      await sum(server, "gone", base + 3 * HOUR, base + 4 * HOUR),
      await sum(server, "other"),
    ]).toEqual([PER_HOUR, PER_HOUR, 4 * PER_HOUR]);

    // The request also applies to a block that arrives later.
    await push(server, "gone", base + 2 * HOUR + 30_000, 1000);
    await push(server, "keep", base + 2 * HOUR + 30_000, 1000);
    await server.flush();
    await until(
      "late profiles are gone, too",
      async () =>
        (await sum(server, "gone")) === 2 * PER_HOUR && (await sum(server, "keep")) === 4 * PER_HOUR + 1000,
      60_000,
    );
    const [request] = JSON.parse(cli(server, "deletions", "list", "-output=json").out) as {
      id: string;
      by: string;
      reason: string;
      state: string;
      steps: { profiles: number; block: string }[];
    }[];
    expect(request).toMatchObject({ by: "dpo", reason: "a person left", state: "active" });
    expect(request!.steps.reduce((n, s) => n + s.profiles, 0)).toBe(21);
    expect(await metric(server, 'cinderblock_compactor_profiles_deleted_total{reason="request"}')).toBe(21);
    expect(cli(server, "deletions", "cancel", request!.id).status).toBe(0);
    await server.stop();
    expect(cli(server, "blocks", "verify").status).toBe(0);
    // No remaining block has the series in the range.
    await server.start("-compactor.enabled=false");
    expect([await sum(server, "gone"), await sum(server, "keep")]).toEqual([
      2 * PER_HOUR,
      4 * PER_HOUR + 1000,
    ]);
    await server.stop();
  });

  it("is kept for its selector's period: dry run first", async () => {
    const server = new Server();
    const rules = `-compactor.retention-rules=[{"selector":"{service_name=\\"gone\\"}","period":"5d"},{"selector":"{service_name=\\"keep\\"}","period":"20d"}]`;
    await server.start(...FAST, rules, "-compactor.retention-dry-run");
    await fourHours(server, ["keep", "gone"]);
    for (let i = 0; i < 3; i++) await push(server, "gone", Date.now() - 2 * DAY + i, 100); // within the retention
    await server.flush();
    await until(
      "the rule was counted",
      async () =>
        (await metric(server, 'cinderblock_compactor_retention_dry_run_profiles{user="anonymous"}')) === 40,
      60_000,
    );
    expect(await sum(server, "gone", base - DAY, Date.now())).toBe(4 * PER_HOUR + 300);
    await server.stop();
    await server.start(...FAST, rules);
    await until(
      "the rule was applied",
      async () => (await sum(server, "gone", base - DAY, Date.now())) === 300,
      60_000,
    );
    expect(await sum(server, "keep")).toBe(4 * PER_HOUR);
    await server.stop();
    await server.start(...FAST, "-compactor.blocks-retention-period=7d", "-compactor.retention-dry-run");
    await until(
      "whole blocks were counted",
      async () =>
        (await metric(server, 'cinderblock_compactor_retention_dry_run_blocks{user="anonymous"}')) >= 1,
      60_000,
    );
    expect(await sum(server, "keep")).toBe(4 * PER_HOUR);
    await server.stop();
    await server.start(...FAST, "-compactor.blocks-retention-period=7d");
    await until(
      "whole blocks were deleted",
      async () => (await sum(server, "keep", base - DAY, Date.now())) === 0 && metas(server).length <= 1,
      60_000,
    );
    expect(await sum(server, "gone", base - DAY, Date.now())).toBe(300);
    await server.stop();
  });

  it("counts rows of two blocks once, before and after their merge", async () => {
    const server = new Server();
    const files = folder();
    mkdirSync(files, { recursive: true });
    for (let i = 0; i < 20; i++)
      writeFileSync(
        join(files, `${i}.pb`),
        tinyPprof({
          stacks: [{ frames: ["main", `f${i % 3}`], values: [i + 1] }],
          timeNanos: BigInt(base + i * 60_000) * 1_000_000n,
        }),
      );
    for (let i = 0; i < 2; i++)
      expect(cli(server, "import", "-name=twice", files)).toMatchObject({ status: 0 });
    expect(metas(server).length).toBe(2);
    await server.start("-compactor.enabled=false");
    expect(await sum(server, "twice")).toBe(210);
    await server.stop();
    await server.start(...FAST);
    await push(server, "later", base + 9 * HOUR, 1); // a range is merged when it is complete
    await server.flush();
    await until(
      "the two are one",
      () =>
        Promise.resolve(
          metas(server).length === 2 &&
            metas(server).some((m) => m.stats.numProfiles === 20 && m.compaction.level === 2),
        ),
      60_000,
    );
    expect(await sum(server, "twice")).toBe(210);
    await server.stop();
  });

  it("that arrives late next to a downsampled block counts once, by hours and by minutes", async () => {
    const server = new Server();
    await server.start(...FAST, "-compactor.downsampler-enabled=true");
    await fourHours(server, ["a"]);
    await push(server, "later", base + 9 * HOUR, 1); // a range is merged when it is complete
    await server.flush();
    await until(
      "a block has sums by hour",
      () =>
        Promise.resolve(
          metas(server).some((m) => m.files.some((f) => f.relPath === "profiles_1h_sum.parquet")),
        ),
      60_000,
    );
    await server.stop();
    const flags = ["-compactor.enabled=false", "-pyroscopedb.ship-interval=200ms"];
    await server.start(...flags);
    await push(server, "a", base + 90 * 60_000, 7);
    await push(server, "a", base + 60_001, 2); // a retry: same time, same bytes
    await server.flush();
    const ranges = [
      [0, 4 * HOUR - 1],
      [0, HOUR - 1],
      [HOUR, 2 * HOUR - 1],
      [61_000, 3 * HOUR + 61_000],
      [5 * 60_000, 95 * 60_000],
    ] as const;
    const sums = async (): Promise<number[]> => {
      const out = [];
      for (const [a, b] of ranges) out.push(await sum(server, "a", base + a, base + b));
      return out;
    };
    const expected = [4 * PER_HOUR + 7, PER_HOUR, PER_HOUR + 7, 3 * PER_HOUR + 7 + 3 - 3, 0];
    // Expected sums: minute i of an hour has the value i + 1.
    expected[3] = PER_HOUR - 3 + 2 * PER_HOUR + 3 + 7;
    expected[4] = PER_HOUR - 15 + PER_HOUR + 7;
    expect(await sums()).toEqual(expected);
    await server.stop();
    await server.start(...FAST, "-compactor.downsampler-enabled=true");
    await until("the late block is merged", () => Promise.resolve(metas(server).length === 2), 60_000);
    expect(await sums()).toEqual(expected);
    await server.stop();
  });

  it("of a deleted tenant that still pushes is removed; other tenants' data stays", async () => {
    const server = new Server();
    await server.start(...FAST, "-auth.multitenancy-enabled=true", "-compactor.deletion-delay=1h"); // keeps the mark
    let stop = false,
      pushed = 0;
    const pushing = (async () => {
      for (let i = 0; !stop; i++) {
        for (const t of ["leaves", "stays"]) await push(server, "s", base + i, 1, t);
        pushed++;
        await settle(5); // some hundred pushes are enough to meet every pass of the deletion
        if (i % 20 !== 19) continue;
        for (const t of ["leaves", "stays"])
          await server.json("/ingester.v1.IngesterService/Flush", {}, { "X-Scope-OrgID": t });
      }
    })();
    await until(
      "both are in the bucket",
      () =>
        Promise.resolve(
          ["leaves", "stays"].every((t) => {
            try {
              return metas(server, t).length > 0;
            } catch {
              return false;
            }
          }),
        ),
      60_000,
    );
    mkdirSync(join(server.dir, "bucket/leaves/phlaredb/markers"), { recursive: true });
    writeFileSync(
      join(server.dir, "bucket/leaves/phlaredb/markers/tenant-deletion-mark.json"),
      JSON.stringify({ deletion_time: Math.floor(Date.now() / 1000) }),
    );
    await settle(2000);
    stop = true;
    await pushing;
    await server.json("/ingester.v1.IngesterService/Flush", {}, { "X-Scope-OrgID": "stays" });
    await until(
      "the tenant's blocks are gone",
      () => Promise.resolve(metas(server, "leaves").length === 0),
      60_000,
    );
    await until(
      "and its profiles",
      async () => (await sum(server, "s", base - DAY, base + DAY, "leaves")) === 0,
      60_000,
    );
    expect(await sum(server, "s", base - DAY, base + DAY, "stays")).toBe(pushed);
    await server.stop();
  });
});
