import { gzipSync } from "node:zlib";
import { rmSync } from "node:fs";
import { join } from "node:path";
import {
  describeWith,
  type KafkaServer,
  type RedisServer,
  type S3Server,
  startKafka,
  startRedis,
  startS3Server,
  tinyPprof,
} from "@cinderblock/testkit";
import { Cluster } from "./cluster.ts";
import { settle, until } from "./pusher.ts";
import { CPU, Server } from "./server.ts";

let redis: RedisServer, s3: S3Server, kafka: KafkaServer;

const AGGREGATE = [
  "-distributor.aggregation-window=1h",
  "-distributor.aggregation-period=500ms",
  "-validation.max-sessions-per-series=8",
];
const STRONG = { "x-read-consistency": "strong" };
const start = Math.floor(Date.now() / 3600_000) * 3600_000 - 1800_000;

/**
 * Agents of two pods that push at a fixed rate without waiting for answers. Each profile has a unique
 * function and value. Formats: gzipped JSON, text, pprof in a form.
 */
class Agents {
  readonly sent = new Map<string, number>();
  readonly acknowledged = new Map<string, number>();
  readonly waits: number[] = [];
  private stopped = false;
  private readonly loops: Promise<void>[];
  private static next = 0;

  constructor(to: () => Server[], agents: number) {
    this.loops = Array.from({ length: agents }, async (_, k) => {
      const all: Promise<void>[] = [];
      for (let i = 0; !this.stopped; i++) {
        const servers = to();
        all.push(this.one(servers[(i + k) % servers.length]!, k));
        await settle(150);
      }
      await Promise.all(all);
    });
  }

  private async one(server: Server, k: number): Promise<void> {
    const no = Agents.next++,
      frame = `g${no}`,
      value = 1000 + no;
    this.sent.set(frame, value);
    const begun = performance.now();
    const status = await this.push(server, k, frame, value, start + no).catch(() => 0);
    if (status === 200) {
      this.acknowledged.set(frame, value);
      this.waits.push(performance.now() - begun);
    }
  }

  private async push(server: Server, k: number, frame: string, value: number, atMs: number): Promise<number> {
    const pod = `p${k % 2}`,
      session = String(k),
      profile = gzipSync(
        tinyPprof({
          stacks: [{ frames: ["main", frame], values: [value] }],
          timeNanos: BigInt(atMs) * 1_000_000n,
        }),
      );
    if (k % 3 === 0)
      return (
        await fetch(
          `${server.url}/ingest?name=${encodeURIComponent(`text.cpu{pod=${pod},__session_id__=${session}}`)}&from=${atMs}&sampleRate=1000000000`,
          { method: "POST", body: `main;${frame} ${value}\n` },
        )
      ).status;
    if (k % 3 === 1) {
      const form = new FormData();
      form.append("profile", new Blob([profile as Uint8Array<ArrayBuffer>]));
      return (
        await fetch(
          `${server.url}/ingest?name=${encodeURIComponent(`form{pod=${pod},__session_id__=${session}}`)}&from=${atMs}`,
          { method: "POST", body: form },
        )
      ).status;
    }
    const labels = (service: string) =>
      Object.entries({ __name__: "process_cpu", service_name: service, pod, __session_id__: session }).map(
        ([name, value]) => ({ name, value }),
      );
    const body = gzipSync(
      JSON.stringify({
        series: [{ labels: labels("push"), samples: [{ rawProfile: profile.toString("base64") }] }],
      }),
    );
    return (
      await fetch(`${server.url}/push.v1.PusherService/Push`, {
        method: "POST",
        headers: { "content-type": "application/json", "content-encoding": "gzip" },
        body,
      })
    ).status;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.loops);
  }
}

/** Total of each unique function in a reader's answer. */
async function found(server: Server, headers: Record<string, string> = {}): Promise<Map<string, number>> {
  const { status, body } = await server.json(
    "/querier.v1.QuerierService/SelectMergeStacktraces",
    {
      profileTypeID: CPU,
      labelSelector: "{}",
      start: String(start - 1000),
      end: String(start + 1_000_000),
      maxNodes: "1000000",
    },
    headers,
  );
  if (status !== 200) throw new Error(JSON.stringify(body));
  const { names, levels } = body.flamegraph as { names: string[]; levels: { values: string[] }[] };
  const out = new Map<string, number>();
  for (const { values } of levels)
    for (let i = 0; i < values.length; i += 4) {
      const name = names[Number(values[i + 3])]!;
      if (name.startsWith("g")) out.set(name, (out.get(name) ?? 0) + Number(values[i + 1]));
    }
  return out;
}

function faults(agents: readonly Agents[], seen: Map<string, number>): { lost: unknown[]; wrong: unknown[] } {
  const sent = new Map(agents.flatMap((a) => [...a.sent])),
    acknowledged = agents.flatMap((a) => [...a.acknowledged]);
  return {
    lost: acknowledged.filter(([frame, value]) => seen.get(frame) !== value),
    wrong: [...seen].filter(([frame, value]) => sent.get(frame) !== value),
  };
}
const NONE = { lost: [], wrong: [] };
const metric = async (server: Server, name: string): Promise<number> =>
  Number(
    new RegExp(`^${name}(?:\\{[^}]*\\})? ([0-9.e+]+)$`, "m").exec(
      await (await fetch(`${server.url}/metrics`)).text(),
    )?.[1] ?? 0,
  );

describe("profiles of a series that come close together", () => {
  it("become fewer rows with the same totals; acknowledged profiles survive kill -9 and a stop", async () => {
    const server = new Server();
    await server.start(...AGGREGATE);
    const first = new Agents(() => [server], 24);
    await settle(2500);
    const [rows, acknowledged] = [await metric(server, "pyroscope_head_profiles"), first.acknowledged.size];
    // The agents have pushes in flight, most of them held by the distributor.
    expect(await metric(server, "pyroscope_distributor_aggregation_active_aggregates")).toBeGreaterThan(0);
    await server.stop("SIGKILL");
    await first.stop();
    await server.start(...AGGREGATE);
    expect(faults([first], await found(server))).toEqual(NONE);
    expect(first.acknowledged.size).toBeGreaterThan(40);
    expect(rows).toBeLessThan(acknowledged * 0.5);
    expect(first.waits.sort((a, b) => a - b)[first.waits.length >> 1]).toBeLessThan(2000);
    const second = new Agents(() => [server], 24);
    await settle(1500);
    const stopping = server.stop();
    await settle(200);
    const atStop = second.acknowledged.size;
    expect(await stopping).toBe(0);
    await second.stop();
    await server.start(...AGGREGATE);
    // A stop writes and answers held pushes; every push before the end gets its 200.
    expect([faults([first, second], await found(server)), atStop > 20]).toEqual([NONE, true]);
    await server.flush();
    expect(faults([first, second], await found(server))).toEqual(NONE);
    await server.stop();
  }, 60_000);
});

describeWith(["redis", "s3", "kafka"], "profiles of a series that come close together in a cluster", () => {
  beforeAll(async () => {
    redis = await startRedis();
    s3 = await startS3Server(["aggregation-direct", "aggregation-kafka"]);
    kafka = await startKafka();
  }, 60_000);

  it("stay complete in three replicas when one is killed", async () => {
    const c = new Cluster(redis, s3, "aggregation-direct", "-distributor.replication-factor=3", ...AGGREGATE);
    await c.start("ingester", 3);
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1),
      c.start("query-frontend", 1),
      c.start("distributor", 2),
    ]);
    const agents = new Agents(() => c.of("distributor"), 12),
      frontend = c.get("query-frontend");
    await settle(1500);
    await c.get("ingester", 1).stop("SIGKILL");
    await settle(2000);
    await c.startOne("ingester", 1);
    await settle(1500);
    await agents.stop();
    expect(agents.acknowledged.size).toBeGreaterThan(100);
    expect(faults([agents], await found(frontend))).toEqual(NONE);
    await c.flush();
    await until("the blocks are there", async () => {
      const f = faults([agents], await found(frontend));
      return f.lost.length + f.wrong.length === 0;
    });
    expect(
      await metric(c.get("distributor"), "pyroscope_distributor_aggregation_aggregated_pushes_total"),
    ).toBeGreaterThan(20);
    await c.stop();
  }, 120_000);

  it("are one Kafka record, which two zones read identically, also after the loss of their disk", async () => {
    const c = new Cluster(
      redis,
      s3,
      "aggregation-kafka",
      "-distributor.write-buffer=kafka",
      `-kafka.brokers=${kafka.brokers}`,
      "-kafka.topic=aggregation-kafka",
      "-kafka.auto-create-topic-partitions=4",
      ...AGGREGATE,
    );
    await Promise.all(
      [0, 1].map((i) => c.startOne("ingester", i, `-ingester.availability-zone=${i === 0 ? "a" : "b"}`)),
    );
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1),
      c.start("query-frontend", 1),
      c.start("distributor", 2),
    ]);
    const agents = new Agents(() => c.of("distributor"), 12),
      frontend = c.get("query-frontend");
    await settle(2000);
    const gone = c.get("ingester", 0);
    await gone.stop("SIGKILL");
    rmSync(join(gone.dir, "db"), { recursive: true });
    await settle(500);
    await c.startOne("ingester", 0, "-ingester.availability-zone=a");
    await settle(1500);
    await agents.stop();
    expect(agents.acknowledged.size).toBeGreaterThan(100);
    expect(faults([agents], await found(frontend, STRONG))).toEqual(NONE);
    const rows = (): Promise<number[]> =>
      Promise.all(c.of("ingester").map((s) => metric(s, "pyroscope_head_profiles")));
    await until(
      "both zones have the same rows",
      async () => {
        const [a, b] = await rows();
        return a === b;
      },
      60_000,
    );
    expect((await rows())[0]).toBeLessThan(agents.acknowledged.size * 0.5);
    // Only the ingester that read the records again answers.
    await c.get("ingester", 1).stop("SIGKILL");
    await until("the other's answer", async () => {
      const f = faults([agents], await found(frontend));
      return f.lost.length + f.wrong.length === 0;
    });
    await c.startOne("ingester", 1, "-ingester.availability-zone=b");
    await c.flush();
    await until("the blocks are there", async () => {
      const f = faults([agents], await found(frontend, STRONG));
      return f.lost.length + f.wrong.length === 0;
    });
    await c.stop();
  }, 120_000);
});
