import { execFile, spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import {
  describeWith,
  freePort,
  tinyPprof,
  type RedisServer,
  type S3Server,
  startRedis,
  startS3Server,
} from "@cinderblock/testkit";
import { Cluster } from "./cluster.ts";
import { Oracle } from "./oracle.ts";
import { Pusher, settle, total, until } from "./pusher.ts";
import { CPU, folder } from "./server.ts";

const oracle = new Oracle();
let redis: RedisServer, s3: S3Server;
const start = async (): Promise<void> => {
  redis ??= await startRedis();
  s3 ??= await startS3Server(["answers", "scaling", "tokens", "shards", "compactors"]);
};
describe("components as processes of their own", () => {
  it("are refused without a shared ring", async () => {
    const { Server } = await import("./server.ts");
    const alone = new Server();
    await expect(alone.start("-target=distributor")).rejects.toThrow(
      /-target=distributor as a separate process needs -ring.store=redis/,
    );
  });
});

describeWith(["redis", "s3"], "components as processes of their own", () => {
  beforeAll(start, 60_000);

  it("are started, listed and stopped by one command", async () => {
    const port = await freePort();
    const { stdout } = await promisify(execFile)(process.execPath, [
      "tools/dev-cluster/dev-cluster.ts",
      "--once",
      "--port",
      String(20_000 + (port % 20_000)),
      "--ingesters",
      "1",
      "--queriers",
      "1",
      "--schedulers",
      "1",
      "--stores",
      "1",
    ]);
    expect(stdout).toMatch(/gateway-0 +\d+ +\d+ +\d+ MB +ready/);
    expect(stdout).toMatch(/ring {2}ingester-0 ACTIVE 100 %/);
    expect(stdout).toContain("hand over first");
  }, 100_000);
});

describeWith(["redis", "s3", "kafka"], "components as processes of their own", () => {
  beforeAll(start, 60_000);

  it("are started with a real Kafka and a real S3 server by the same command", async () => {
    const port = await freePort();
    const { stdout } = await promisify(execFile)(process.execPath, [
      "tools/dev-cluster/dev-cluster.ts",
      "--once",
      "--kafka",
      "start",
      "--s3",
      "--port",
      String(20_000 + (port % 20_000)),
      "--ingesters",
      "1",
      "--queriers",
      "1",
      "--schedulers",
      "1",
      "--stores",
      "1",
    ]);
    for (const name of ["s3", "kafka", "redis"])
      expect(stdout).toMatch(new RegExp(`^${name} .*running$`, "m"));
    expect(stdout).toMatch(/ingester-0 +\d+ +\d+ +\d+ MB +ready/);
  }, 200_000);
});

describeWith(["redis", "s3"], "components as processes of their own", () => {
  beforeAll(start, 60_000);

  it("serve agents and readers by their tokens, and each other by the cluster token", async () => {
    const file = join(folder(), "tokens.yaml"),
      AGENT = "agent-token-0123456789",
      READER = "reader-token-0123456789";
    writeFileSync(
      file,
      `tokens:\n  - {name: agents, token: ${AGENT}, roles: [write]}\n  - {name: grafana, token: ${READER}, roles: [read]}\n`,
    );
    const c = new Cluster(
      redis,
      s3,
      "tokens",
      `-auth.tokens-file=${file}`,
      "-auth.internal-token=internal-token-0123456789",
    );
    await c.start("ingester", 1);
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1),
      c.start("query-frontend", 1),
      c.start("distributor", 1),
    ]);
    const pusher = new Pusher(() => [c.get("distributor")], 1, undefined, {
      authorization: `Bearer ${AGENT}`,
    });
    await settle(700);
    await pusher.stop();
    expect([pusher.refused, pusher.acknowledged.size > 5]).toEqual([0, true]);
    expect((await total(c.get("query-frontend"), pusher, { authorization: `Bearer ${READER}` })).sum).toBe(
      pusher.acknowledged.size,
    );
    await c.stop();
  }, 100_000);
});

describeWith(["redis", "s3", "oracle"], "components as processes of their own", () => {
  beforeAll(start, 60_000);

  it("give v1's answers, from memory, after a flush, and from the bucket: two of each, three ingesters, three replicas", async () => {
    const c = new Cluster(redis, s3, "answers", "-distributor.replication-factor=3");
    await c.start("ingester", 3);
    await Promise.all([c.start("store-gateway", 2), c.start("query-scheduler", 2), c.start("querier", 2)]);
    await Promise.all([c.start("distributor", 2), c.start("query-frontend", 2)]);
    const base = Math.floor(Date.now() / 3600_000) * 3600_000 - 3600_000;
    expect(await oracle.push(c.get("distributor", 1), base)).toContain("1040 profiles");
    const head = await oracle.compare(
      join(oracle.data!, "answers/head"),
      await oracle.ask(c.get("query-frontend"), base, "cluster-head"),
    );
    expect(oracle.surprising(head.differ)).toEqual([]);
    expect(head.equal).toBeGreaterThanOrEqual(351);
    // The UI's requests also work over the network: trees, functions, single profiles, one of three replicas
    // each.
    const explore = async (method: string, body: object): Promise<Record<string, unknown>> =>
      (await c.get("query-frontend", 1).json(`/cinderblock.explore.v1.ExploreService/${method}`, body)).body;
    const selection = {
      profileTypeId: CPU,
      labelSelector: "{}",
      start: String(base - 3600_000),
      end: String(base + 7200_000),
    };
    const sum = String(
      [...(await c.get("query-frontend").sums([], CPU, base - 3600_000, base + 7200_000)).values()].reduce(
        (a, b) => a + b,
        0,
      ),
    );
    const [tree, table, heat, list] = await Promise.all([
      explore("CallTree", { selection, maxNodes: "100" }),
      explore("FunctionTable", { selection, limit: "1" }),
      explore("Heatmap", { selection }),
      explore("Profiles", { selection, limit: 1 }),
    ]);
    expect([tree.total, table.total, heat.total, list.total]).toEqual([sum, sum, sum, sum]);
    expect((heat.counts as number[]).reduce((a, b) => a + b, 0)).toBe(Number(list.count));
    const [top] = table.functions as { name: string; self: string }[],
      { files } = (await explore("FunctionLines", { selection, function: top!.name })) as {
        files: { lines: { self?: string }[] }[];
      };
    expect(String(files.flatMap((f) => f.lines).reduce((n, l) => n + Number(l.self ?? 0), 0))).toBe(
      top!.self,
    );
    const heatmap = (
      await c.get("query-frontend").json("/querier.v1.QuerierService/SelectHeatmap", {
        profileTypeID: CPU,
        labelSelector: "{}",
        start: selection.start,
        end: selection.end,
        step: 60,
        groupBy: ["service_name"],
        queryType: "HEATMAP_QUERY_TYPE_INDIVIDUAL",
      })
    ).body as { series: { slots: { counts: number[] }[] }[] };
    expect(heatmap.series.flatMap((s) => s.slots.flatMap((x) => x.counts)).reduce((a, b) => a + b, 0)).toBe(
      Number(list.count),
    );
    const same = async (name: string, i: number): Promise<string[]> => {
      const answers = await oracle.ask(c.get("query-frontend", i), base, name),
        { differ } = await oracle.compare(join(oracle.work, "cluster-head"), answers, "-tolerance", "0");
      return differ.filter((d) => !d.startsWith("analyze."));
    };
    await c.flush();
    await until("every block is in the bucket", async () =>
      (
        await Promise.all(
          c
            .of("ingester")
            .map(async (s) =>
              Number(
                /^cinderblock_ingester_unshipped_bytes (\d+)/m.exec(
                  await (await fetch(`${s.url}/metrics`)).text(),
                )![1],
              ),
            ),
        )
      ).every((n) => n === 0),
    );
    expect(await same("cluster-flushed", 1)).toEqual([]);
    const moved = await (await fetch(`${c.get("querier").url}/metrics`)).text();
    expect(Number(/^cinderblock_internal_received_bytes (\d+)/m.exec(moved)![1])).toBeGreaterThan(100_000);
    // The ingesters lost their disks: the bucket has all of their profiles.
    await Promise.all(c.of("ingester").map((s) => s.stop("SIGTERM")));
    await until(
      "the ingesters have left the ring",
      async () => Object.keys(await c.ring(c.get("distributor"))).length === 0,
      30_000,
    );
    expect(await same("cluster-bucket", 0)).toEqual([]);
    await c.stop();
  }, 400_000);
});

describeWith(["redis", "s3"], "a cluster that changes", () => {
  beforeAll(start, 60_000);

  it("ingesters join and leave with a clean hand-over, with one replica", async () => {
    const c = new Cluster(redis, s3, "scaling", "-distributor.replication-factor=1");
    await c.start("ingester", 2);
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1),
      c.start("query-frontend", 1),
      c.start("compactor", 1),
    ]);
    await c.start("distributor", 1);
    const pusher = new Pusher(() => c.of("distributor"), 2);
    const sum = async (): Promise<number> =>
      [
        ...(
          await c.get("query-frontend").sums([], CPU, pusher.start - 1000, pusher.start + 1_000_000)
        ).values(),
      ].reduce((a, b) => a + b, 0);
    await settle(1500);
    await c.startOne("ingester", 2);
    await settle(1500);
    for (const i of [0, 1]) {
      // First the ingester is read-only: other ingesters get new pushes, and none is refused.
      const prepare = `${c.get("ingester", i).url}/ingester/prepare-instance-ring-downscale`;
      expect(await (await fetch(prepare, { method: "POST" })).json()).toEqual({ readOnly: true });
      await until(
        "everyone knows",
        async () => (await c.ring(c.get("distributor")))[`ingester-${i}`] === "ACTIVE (read-only)",
      );
      if (i === 0) {
        expect(await (await fetch(prepare, { method: "DELETE" })).json()).toEqual({ readOnly: false });
        await fetch(prepare, { method: "POST" });
      }
      await settle(1200);
      await c.get("ingester", i).stop("SIGTERM");
      expect(c.get("ingester", i).child!.exitCode).toBe(0);
      await settle(1200);
      const known = pusher.acknowledged.size;
      expect(await sum()).toBeGreaterThanOrEqual(known);
    }
    expect(Object.keys(await c.ring(c.get("distributor")))).toEqual(["ingester-2"]);
    await pusher.stop();
    const found = await sum();
    expect(found).toBeGreaterThanOrEqual(pusher.acknowledged.size);
    expect(found).toBeLessThanOrEqual(pusher.acknowledged.size + pusher.refused);
    process.stdout.write(
      `     ${pusher.acknowledged.size} acknowledged, ${pusher.refused} refused, ${found} found\n`,
    );
    // A killed ingester stays in the ring as unhealthy until an operator forgets it.
    await c.get("ingester", 2).stop("SIGKILL");
    const distributor = c.get("distributor");
    await until(
      "the killed ingester is unhealthy",
      async () => (await c.ring(distributor))["ingester-2"] === "UNHEALTHY",
    );
    expect((await fetch(`${distributor.url}/ready`)).status).toBe(503);
    expect(
      (await fetch(`${distributor.url}/ring`, { method: "POST", body: new URLSearchParams({ nobody: "x" }) }))
        .status,
    ).toBe(400);
    const page = await fetch(`${distributor.url}/ring`, {
      method: "POST",
      body: new URLSearchParams({ forget: "ingester-2" }),
    });
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    await until(
      "the killed ingester is forgotten",
      async () => Object.keys(await c.ring(distributor)).length === 0,
    );
    await c.stop();
  }, 200_000);

  it("compactors share one tenant's jobs, one is killed at work, and every profile counts once", async () => {
    const HOUR = 3600_000,
      c = new Cluster(
        redis,
        s3,
        "compactors",
        "-distributor.replication-factor=1",
        "-blocks-storage.bucket-store.sync-interval=300ms",
        "-pyroscopedb.ship-interval=200ms",
        "-compactor.block-ranges=1h,2h,4h",
        "-compactor.first-level-compaction-wait-period=0s",
        "-compactor.compaction-interval=300ms",
        "-compactor.cleanup-interval=500ms",
        "-compactor.deletion-delay=0s",
        "-blocks-storage.bucket-store.ignore-deletion-marks-delay=0s",
      );
    await c.start("ingester", 1);
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1),
      c.start("query-frontend", 1),
      c.start("distributor", 1),
    ]);
    const start = Math.floor(Date.now() / (4 * HOUR)) * 4 * HOUR - 20 * HOUR,
      sent = 16 * 4 * 3 + 1;
    const push = async (service: string, h: number, i: number): Promise<void> => {
      const raw = gzipSync(
        tinyPprof({
          stacks: [{ frames: ["main", `f${i}`], values: [1] }],
          timeNanos: BigInt(start + h * HOUR + i * 60_000) * 1_000_000n,
        }),
      ).toString("base64");
      expect(
        (
          await c.get("distributor").json("/push.v1.PusherService/Push", {
            series: [
              {
                labels: [
                  { name: "__name__", value: "process_cpu" },
                  { name: "service_name", value: service },
                ],
                samples: [{ rawProfile: raw }],
              },
            ],
          })
        ).status,
      ).toBe(200);
    };
    // Two blocks with the same profiles for each of sixteen hours, and a later block that completes those
    // hours.
    for (let round = 0; round < 2; round++) {
      for (let h = 0; h < 16; h++)
        for (let i = 0; i < 4; i++) for (const service of ["a", "b", "c"]) await push(service, h, i);
      if (round === 0) await push("late", 17, 0);
      await c.flush();
    }
    const sum = async (): Promise<number> =>
      [...(await c.get("query-frontend").sums([], CPU, start - HOUR, start + 20 * HOUR)).values()].reduce(
        (a, b) => a + b,
        0,
      );
    await until("everything is seen once", async () => (await sum()) === sent);
    await c.start("compactor", 3);
    const done = async (i: number): Promise<number> =>
      Number(
        /^pyroscope_compactor_group_compactions_total (\d+)/m.exec(
          await (await fetch(`${c.get("compactor", i).url}/metrics`)).text(),
        )?.[1] ?? 0,
      );
    await until("a compactor is at work", async () => (await done(2)) > 0, 60_000);
    await c.get("compactor", 2).stop("SIGKILL");
    const before = await Promise.all([0, 1].map(done));
    const wrong: number[] = [];
    for (
      let quiet = 0, last = -1, end = Date.now() + 60_000;
      quiet < 12 && Date.now() < end;
      await settle(500)
    ) {
      const found = await sum();
      if (found !== sent) wrong.push(found);
      const jobs = (await Promise.all([0, 1].map(done))).reduce((a, b) => a + b, 0);
      quiet = jobs === last && jobs > 0 ? quiet + 1 : 0; // longer than the ring keeps the killed member
      last = jobs;
    }
    expect(wrong).toEqual([]);
    const jobs = await Promise.all([0, 1].map(done));
    process.stdout.write(
      `     jobs of the three: ${jobs.join(", ")} and some; of the two when the third was killed: ${before.join(", ")}\n`,
    );
    expect(Math.min(...jobs)).toBeGreaterThan(0);
    const list = spawnSync(
      "apps/cli/bin/cinderblock-cli",
      [
        "blocks",
        "list",
        "-output=json",
        "-storage.backend=s3",
        `-storage.s3.endpoint=${s3.endpoint}`,
        "-storage.s3.insecure=true",
        "-storage.s3.bucket-name=compactors",
        `-storage.s3.access-key-id=${s3.accessKeyId}`,
        `-storage.s3.secret-access-key=${s3.secretAccessKey}`,
      ],
      { encoding: "utf8" },
    );
    const blocks = JSON.parse(list.stdout) as { level: number; profiles: number }[];
    expect(blocks.map((b) => b.profiles).reduce((a, b) => a + b, 0)).toBe(sent);
    expect(blocks).toHaveLength(5);
    await c.stop();
  }, 200_000);

  it("a tenant's writes stay in its shuffle shard, and its reads find all of them", async () => {
    const c = new Cluster(
      redis,
      s3,
      "shards",
      "-distributor.replication-factor=1",
      "-distributor.ingestion-tenant-shard-size=2",
      "-auth.multitenancy-enabled=true",
    );
    await c.start("ingester", 4);
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1),
      c.start("query-frontend", 1),
      c.start("distributor", 1),
    ]);
    const tenants = ["a", "b", "c", "d", "e"],
      pushers = tenants.map(
        (t) => new Pusher(() => c.of("distributor"), 1, undefined, { "X-Scope-OrgID": t }),
      );
    await settle(2500);
    await Promise.all(pushers.map((p) => p.stop()));
    const used = new Set<number>();
    for (const [k, t] of tenants.entries()) {
      const found = await total(c.get("query-frontend"), pushers[k]!, { "X-Scope-OrgID": t });
      expect([found.sum, found.partial]).toEqual([pushers[k]!.acknowledged.size, ""]);
      // Each ingester's own log and blocks show which writes it received.
      await Promise.all(
        c.of("ingester").map((s) => s.json("/ingester.v1.IngesterService/Flush", {}, { "X-Scope-OrgID": t })),
      );
      const own = c.of("ingester").flatMap((s, i) => (existsSync(join(s.dir, "db", t)) ? [i] : []));
      expect(own.length).toBeGreaterThan(0);
      expect(own.length).toBeLessThanOrEqual(2);
      for (const i of own) used.add(i);
    }
    expect(used.size).toBeGreaterThan(2); // tenants have different shuffle shards
    await c.stop();
  }, 120_000);
});
