import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type CollectedSpan,
  describeWith,
  type KafkaServer,
  type RedisServer,
  type S3Server,
  type SpanCollector,
  startKafka,
  startRedis,
  startS3Server,
  startSpanCollector,
  temporaryFolder,
  tinyPprof,
} from "@cinderblock/testkit";
import { Cluster, type Component } from "./cluster.ts";
import { Oracle } from "./oracle.ts";
import { Pusher, settle, total, until } from "./pusher.ts";
import { CPU, type Server } from "./server.ts";
import {
  askOne,
  byTrace,
  linesOf,
  names as spanNames,
  orphans,
  PUSH,
  pushOne,
  QUERY,
  services,
  slowestTrace,
  startAll,
} from "./tracing.ts";

const oracle = new Oracle();
let redis: RedisServer, s3: S3Server, kafka: KafkaServer;
const start = async (): Promise<void> => {
  redis ??= await startRedis();
  s3 ??= await startS3Server([
    "kafka-answers",
    "kafka-series",
    "kafka-disk",
    "kafka-owners",
    "kafka-trickle",
    "kafka-unread",
    "kafka-traces",
    "direct-traces",
  ]);
  kafka ??= await startKafka();
};

const STRONG = { "x-read-consistency": "strong" };
function kafkaCluster(bucket: string, ...flags: string[]): Cluster {
  return new Cluster(
    redis,
    s3,
    bucket,
    "-distributor.write-buffer=kafka",
    `-kafka.brokers=${kafka.brokers}`,
    `-kafka.topic=${bucket}`,
    "-kafka.auto-create-topic-partitions=4",
    ...flags,
  );
}
async function partitions(
  server: Server,
): Promise<{ partition: number; owner: string; position: number; committed: number; end: number }[]> {
  return (
    (await (await fetch(`${server.url}/partitions`, { headers: { accept: "application/json" } })).json()) as {
      partitions: { partition: number; owner: string; position: number; committed: number; end: number }[];
    }
  ).partitions;
}

describeWith(["redis", "s3", "kafka", "oracle"], "Kafka between distributors and ingesters", () => {
  beforeAll(start, 60_000);

  it("returns v1's answers, from memory and after a flush", async () => {
    const c = kafkaCluster("kafka-answers");
    await Promise.all(
      [0, 1, 2].map((i) => c.startOne("ingester", i, `-ingester.availability-zone=${i < 2 ? "a" : "b"}`)),
    );
    await Promise.all([c.start("store-gateway", 2), c.start("query-scheduler", 2), c.start("querier", 2)]);
    await Promise.all([c.start("distributor", 2), c.start("query-frontend", 2)]);
    const base = Math.floor(Date.now() / 3600_000) * 3600_000 - 3600_000;
    expect(await oracle.push(c.get("distributor", 1), base)).toContain("1040 profiles");
    // A strong read waits until ingesters have read every acknowledged record.
    const frontend = c.get("query-frontend");
    expect(
      (
        await frontend.json(
          "/querier.v1.QuerierService/ProfileTypes",
          { start: String(base), end: String(base + 3600_000) },
          STRONG,
        )
      ).status,
    ).toBe(200);
    const head = await oracle.compare(
      join(oracle.data!, "answers/head"),
      await oracle.ask(frontend, base, "kafka-head"),
    );
    expect(oracle.surprising(head.differ)).toEqual([]);
    expect(head.equal).toBeGreaterThanOrEqual(351);
    await c.flush();
    const flushed = await oracle.ask(frontend, base, "kafka-flushed"),
      { differ } = await oracle.compare(join(oracle.work, "kafka-head"), flushed, "-tolerance", "0");
    const same = differ.filter((d) => !d.startsWith("analyze."));
    expect(same).toEqual([]);
    await c.stop();
  }, 300_000);
});

describeWith(["redis", "s3", "kafka"], "Kafka between distributors and ingesters", () => {
  beforeAll(start, 60_000);

  it("gives every partition one owner, commits uploaded records, and refuses bad pushes as without Kafka", async () => {
    const c = kafkaCluster("kafka-owners");
    await c.start("ingester", 2);
    await Promise.all([c.start("store-gateway", 1), c.start("distributor", 1)]);
    const pusher = new Pusher(() => c.of("distributor"), 2);
    await settle(1500);
    await pusher.stop();
    expect([pusher.refused, pusher.acknowledged.size > 20]).toEqual([0, true]);
    let seen: Awaited<ReturnType<typeof partitions>> = [];
    const read = async (): Promise<boolean> => {
      seen = await partitions(c.get("distributor"));
      return seen.length === 4 && seen.every((x) => x.position === x.end) && seen.some((x) => x.end > 0);
    };
    await until(() => `all is read: ${JSON.stringify(seen)}`, read, 60_000);
    // Every partition has one owner, and offsets of uploaded records are committed. Records that an ingester reads
    // after a flush (a new owner reads again what the previous one had not committed) wait for the next flush.
    await until(
      () => `all offsets are committed: ${JSON.stringify(seen)}`,
      async () => {
        if (!(await read())) return false;
        if (seen.every((x) => x.committed === x.end)) return true;
        await c.flush();
        await settle(2000);
        return false;
      },
      60_000,
    );
    expect(new Set((await partitions(c.get("distributor"))).map((p) => p.owner)).size).toBe(2);
    const bad = await c.get("distributor").json("/push.v1.PusherService/Push", { series: [] });
    expect([bad.status, bad.body.code]).toEqual([400, "invalid_argument"]);
    const large = await fetch(`${c.get("distributor").url}/ingest?name=big&from=now-1m&until=now`, {
      method: "POST",
      body: Buffer.alloc(9 << 20, "main;work 1\n"),
    });
    expect([large.status, await large.text()]).toEqual([
      413,
      expect.stringContaining("-kafka.max-record-bytes"),
    ]);
    await c.stop();
  }, 120_000);

  it("limits a tenant's series by the ingesters' counts: every distributor accepts known series and refuses new ones before acknowledgment", async () => {
    const c = kafkaCluster("kafka-series");
    await c.start("ingester", 2);
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1),
      c.start("query-frontend", 1),
    ]);
    await c.start("distributor", 2, "-ingester.max-global-series-per-tenant=6");
    const push = async (
      service: string,
      at: number,
      distributor: number,
    ): Promise<{ status: number; body: Record<string, unknown> }> => {
      const raw = Buffer.from(
        tinyPprof({
          stacks: [{ frames: ["main"], values: [1] }],
          timeNanos: BigInt(Date.now() - 60_000 + at) * 1_000_000n,
        }),
      ).toString("base64");
      return c.get("distributor", distributor).json("/push.v1.PusherService/Push", {
        series: [
          {
            labels: [
              { name: "__name__", value: "process_cpu" },
              { name: "service_name", value: service },
            ],
            samples: [{ rawProfile: raw }],
          },
        ],
      });
    };
    for (let i = 0; i < 6; i++) expect((await push(`s${i}`, i, 0)).status).toBe(200);
    const refused = await push("s6", 6, 0);
    expect([refused.status, refused.body.code, refused.body.message]).toEqual([
      429,
      "resource_exhausted",
      expect.stringContaining("Maximum active series limit exceeded (6/6)"),
    ]);
    // The other distributor has seen no push of these series, and learns all series from the ingesters.
    await settle(3000);
    expect(
      await Promise.all([0, 1, 2, 3, 4, 5].map(async (i) => (await push(`s${i}`, 100 + i, 1)).status)),
    ).toEqual([200, 200, 200, 200, 200, 200]);
    expect((await push("s7", 7, 1)).status).toBe(429);
    const sums = await c
      .get("query-frontend")
      .sums(["service_name"], CPU, Date.now() - 3600_000, Date.now() + 60_000, STRONG);
    expect([...sums].sort()).toEqual([0, 1, 2, 3, 4, 5].map((i) => [`s${i}`, 2]));
    await c.stop();
  }, 120_000);

  it("refuses a usage group over its limit except a trickle, which an ingester without the limit stores and annotates", async () => {
    const c = kafkaCluster("kafka-trickle"),
      file = join(temporaryFolder(), "limits.yaml");
    writeFileSync(
      file,
      `overrides: {anonymous: {distributor_usage_groups: {shop: '{service_name="shop"}'}, ingestion_limit: {period_type: day, limit_reset_time: 1795411800, sampling: {num_requests: 2, period: 1h}, usage_groups: {shop: {limit_reached: true, period_limit_mb: 7}}}}}\n`,
    );
    await c.start("ingester", 1);
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1),
      c.start("query-frontend", 1),
    ]);
    await c.start("distributor", 1, `-runtime-config.file=${file}`);
    const now = Date.now() - 60_000;
    const push = async (service: string, at: number): Promise<number> => {
      const raw = Buffer.from(
        tinyPprof({ stacks: [{ frames: ["main"], values: [1] }], timeNanos: BigInt(now + at) * 1_000_000n }),
      ).toString("base64");
      return (
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
      ).status;
    };
    const statuses: number[] = [];
    for (const [i, service] of ["shop", "other", "other", "shop", "shop", "other"].entries())
      statuses.push(await push(service, i));
    expect(statuses).toEqual([200, 200, 200, 200, 429, 200]);
    const points = await c.get("query-frontend").json(
      "/querier.v1.QuerierService/SelectSeries",
      {
        profileTypeID: CPU,
        labelSelector: "{}",
        start: String(now - 1000),
        end: String(now + 59_000),
        step: 60,
        groupBy: ["service_name"],
      },
      STRONG,
    );
    const series = (
      points.body as {
        series: {
          labels: { value: string }[];
          points: { value: number; annotations?: { value: string }[] }[];
        }[];
      }
    ).series;
    expect(
      series.map((s) => [
        s.labels[0]!.value,
        s.points.reduce((n, p) => n + p.value, 0),
        s.points.flatMap((p) => (p.annotations ?? []).map((a) => a.value)),
      ]),
    ).toEqual([
      ["other", 3, []],
      [
        "shop",
        2,
        [
          '{"body":{"periodType":"day","periodLimitMb":7,"limitResetTime":1795411800,"samplingPeriodSec":3600,"samplingRequests":2,"usageGroup":"shop"}}',
        ],
      ],
    ]);
    await c.stop();
  }, 120_000);

  it("a strong read without readers fails with 503 at its deadline, and a default read fails at once", async () => {
    const c = kafkaCluster("kafka-unread");
    await c.start("ingester", 1);
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1, "-querier.query-timeout=6s"),
      c.start("query-frontend", 1, "-querier.query-timeout=6s"),
    ]);
    await c.start("distributor", 1);
    const frontend = c.get("query-frontend");
    const pusher = new Pusher(() => c.of("distributor"), 2);
    await settle(1000);
    await pusher.stop();
    expect((await total(frontend, pusher, STRONG)).sum).toBe(pusher.acknowledged.size);
    await c.get("ingester").stop("SIGKILL");
    const askedMs = performance.now(),
      strong = await total(frontend, pusher, STRONG),
      waitedMs = performance.now() - askedMs;
    expect([strong.status, strong.text]).toEqual([
      503,
      expect.stringMatching(/a strong read needs partition \d up to \d+, and no ingester has it/),
    ]);
    // An ingester may start until the deadline.
    expect(waitedMs).toBeGreaterThan(4000);
    expect(waitedMs).toBeLessThan(11_000);
    expect((await total(frontend, pusher)).status).toBe(503);
    await c.startOne("ingester", 0);
    expect((await total(frontend, pusher, STRONG)).sum).toBe(pusher.acknowledged.size);
    await c.stop();
  }, 120_000);

  it("an ingester without its disk rereads unuploaded records; a leaving one commits all that it read", async () => {
    const c = kafkaCluster("kafka-disk");
    await c.start("ingester", 1);
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1),
      c.start("query-frontend", 1),
    ]);
    await c.start("distributor", 1);
    const frontend = c.get("query-frontend"),
      ingester = c.get("ingester");
    const pusher = new Pusher(() => c.of("distributor"), 2);
    await settle(2000);
    await c.flush();
    await settle(2000);
    await pusher.stop();
    expect((await total(frontend, pusher, STRONG)).sum).toBe(pusher.acknowledged.size);
    await ingester.stop("SIGKILL");
    rmSync(join(ingester.dir, "db"), { recursive: true });
    await c.startOne("ingester", 0);
    await until(
      "the records are read again",
      async () => {
        const t = await total(frontend, pusher, STRONG);
        return t.status === 200 && t.partial === "" && t.sum === pusher.acknowledged.size;
      },
      60_000,
    );
    expect(await ingester.stop("SIGTERM")).toBe(0);
    rmSync(join(ingester.dir, "db"), { recursive: true });
    await c.startOne("ingester", 0);
    await until(
      "everything is committed",
      async () => {
        const p = await partitions(ingester);
        return p.length === 4 && p.every((x) => x.committed === x.end);
      },
      30_000,
    );
    expect((await total(frontend, pusher, STRONG)).sum).toBe(pusher.acknowledged.size);
    await c.get("distributor").stop("SIGTERM");
    await c.stop();
  }, 200_000);
});

describeWith(["redis", "s3", "kafka"], "traces of one push and one query through eight processes", () => {
  let collector: SpanCollector;
  beforeAll(start, 60_000);
  beforeEach(async () => {
    collector = await startSpanCollector();
  });
  afterEach(() => collector.stop());

  const READERS: readonly Component[] = ["query-scheduler", "querier", "query-frontend"];
  const READ = [
    "cinderblock-ingester",
    "cinderblock-querier",
    "cinderblock-query-frontend",
    "cinderblock-query-scheduler",
    "cinderblock-store-gateway",
  ];
  const traced = (): string[] => [`-tracing.otlp-endpoint=${collector.endpoint}`, "-log.level=debug"];
  /** Lets polls, heartbeats and probes go on, which make no spans; then the processes send their last spans. */
  const stop = async (c: Cluster): Promise<void> => {
    await settle(2000);
    await c.stop("SIGTERM");
  };

  it("are one each, through Kafka up to the ingester that stores the record", async () => {
    const c = kafkaCluster("kafka-traces", ...traced());
    await startAll(c, 2, [...READERS, "compactor", "distributor"]);
    const at = Date.now(),
      frontend = c.get("query-frontend");
    expect(await pushOne(c.get("distributor"), at)).toBe(200);
    await until("the record is stored", () =>
      Promise.resolve(spanNames(collector.spans).includes("kafka.receive")),
    );
    expect(await askOne(frontend, at, { "x-read-consistency": "strong" })).toBe(10);
    const slowest = await slowestTrace(frontend);
    await stop(c);
    const [written, read, ...more] = [...byTrace(collector.spans).values()];
    expect(more.map(spanNames)).toEqual([]);
    expect([orphans(written!), orphans(read!)]).toEqual([[], []]);
    expect(spanNames(written!).sort()).toEqual([
      `POST ${PUSH}`,
      "distributor.push",
      "kafka.receive",
      "kafka.send",
    ]);
    expect([services(written!), services(read!)]).toEqual([
      ["cinderblock-distributor", "cinderblock-ingester"],
      READ,
    ]);
    expect(spanNames(read!.filter((s) => s.parentSpanId === ""))).toEqual([`POST ${QUERY}`]);
    const [{ traceId }] = read as [CollectedSpan];
    expect(slowest).toBe(traceId);
    expect(linesOf(c, traceId)).toEqual(
      expect.arrayContaining(
        [QUERY, "/cinderblock.internal.v1.SourceService/Execute"].map((route) =>
          expect.stringContaining(`route=${route}`),
        ),
      ),
    );
  }, 120_000);

  it("are one each, written to three ingesters, within the caller's trace", async () => {
    const c = new Cluster(redis, s3, "direct-traces", "-distributor.replication-factor=3", ...traced());
    await startAll(c, 3, [...READERS, "distributor"]);
    const at = Date.now(),
      trace = "0af7651916cd43dd8448eb211c80319c",
      span = "b7ad6b7169203331";
    const headers = { traceparent: `00-${trace}-${span}-01` };
    expect(await pushOne(c.get("distributor"), at, headers)).toBe(200);
    expect(await askOne(c.get("query-frontend"), at)).toBe(10);
    await stop(c);
    const all = byTrace(collector.spans),
      written = all.get(trace)!;
    all.delete(trace);
    const [read, ...more] = [...all.values()];
    expect(more.map(spanNames)).toEqual([]);
    expect([orphans(written, [span]), orphans(read!)]).toEqual([[], []]);
    const three = (name: string): string[] => [name, name, name];
    expect(spanNames(written).sort()).toEqual([
      ...three("IngesterService/PushRecord"),
      ...three("POST /cinderblock.internal.v1.IngesterService/PushRecord"),
      `POST ${PUSH}`,
      "distributor.push",
    ]);
    expect([...new Set(written.map((s) => s.instance))].sort()).toEqual([
      "distributor-0",
      "ingester-0",
      "ingester-1",
      "ingester-2",
    ]);
    expect(services(read!)).toEqual(READ);
  }, 120_000);
});
