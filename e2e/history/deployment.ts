import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { FaultProxy, KafkaServer, RedisServer, S3Server } from "@cinderblock/testkit";
import { Cluster, type Component } from "../cluster.ts";
import type { Server } from "../server.ts";
import { within } from "../wait.ts";

/** Shapes: the single binary; processes with three replicas; processes with Kafka and two zones. */
export type Shape = "single" | "direct" | "kafka";

/** Stores that all schedules of a test file share. */
export interface Stores {
  readonly redis: RedisServer;
  readonly s3: S3Server;
  /** proxy in front of the S3 server */
  readonly proxy: FaultProxy;
  readonly kafka: KafkaServer;
  /** folder for compiled scripts */
  readonly compileCache: string;
}

/** Settings of a deployment that the seed chooses. */
export interface Settings {
  readonly workers: number;
  readonly partitions: number;
  readonly resultsCache: boolean;
  /** whether the compactor deletes marked blocks within the schedule */
  readonly deletesBlocks: boolean;
}

const INGESTERS: Record<Shape, number> = { single: 0, direct: 3, kafka: 3 };

/**
 * A stop takes little more than -server.graceful-shutdown-timeout; the rest is a margin for a busy machine.
 */
const STOP_MS = 20_000;

const QUICK = [
  "-pyroscopedb.ship-interval=500ms",
  "-pyroscopedb.log-segment-mb=1",
  "-ingester.heartbeat-period=200ms",
  "-ring.heartbeat-timeout=2s",
  "-blocks-storage.bucket-store.sync-interval=500ms",
  "-compactor.block-ranges=1h,2h",
  "-compactor.first-level-compaction-wait-period=0s",
  "-compactor.compaction-interval=1500ms",
  "-compactor.cleanup-interval=1500ms",
  "-querier.query-timeout=8s",
  "-querier.workers=1",
  "-server.graceful-shutdown-timeout=4s",
];

/** A deployment with its own bucket, key prefix and topic in shared stores. */
export class Deployment {
  readonly cluster: Cluster;
  readonly shape: Shape;
  readonly name: string;
  private readonly stores: Stores;
  private readonly settings: Settings;
  /** number of ingest threads at the next start, by process */
  private readonly workers = new Map<string, number>();
  private readonly busy = new Set<string>();
  private partitions: number;

  constructor(shape: Shape, name: string, stores: Stores, settings: Settings) {
    this.shape = shape;
    this.name = name;
    this.stores = stores;
    this.settings = settings;
    this.partitions = settings.partitions;
    mkdirSync(join(stores.s3.directory, name));
    this.cluster = new Cluster(
      stores.redis,
      { ...stores.s3, endpoint: stores.proxy.address },
      name,
      ...QUICK,
      ...(settings.deletesBlocks
        ? ["-compactor.deletion-delay=4s", "-blocks-storage.bucket-store.ignore-deletion-marks-delay=1s"]
        : []),
      ...(settings.resultsCache
        ? [
            `-query-frontend.results-cache.backend=${shape === "single" ? "memory" : "redis"}`,
            `-query-frontend.results-cache.key-prefix=${name}/results/`,
            "-query-frontend.results-cache.min-age=1s",
            "-querier.split-queries-by-interval=30m",
          ]
        : []),
      ...(shape === "direct" ? ["-distributor.replication-factor=3"] : []),
      ...(shape === "kafka"
        ? [
            "-distributor.write-buffer=kafka",
            `-kafka.brokers=${stores.kafka.brokers}`,
            `-kafka.topic=${name}`,
            `-kafka.auto-create-topic-partitions=${settings.partitions}`,
            "-ingester.kafka-learn-period=1m",
            "-distributor.kafka-hand-over-period=3s",
          ]
        : []),
    );
    // Each schedule starts eight or more processes, and compiling is half of the time of a start.
    this.cluster.env = { NODE_COMPILE_CACHE: stores.compileCache };
    this.cluster.combined.set("query-frontend", "query-frontend,query-scheduler,querier");
  }

  async start(): Promise<void> {
    if (this.shape === "single") {
      await this.startOne("all", 0);
      return;
    }
    await Promise.all([
      ...Array.from({ length: INGESTERS[this.shape] }, (_, i) => this.startOne("ingester", i)),
      this.startOne("store-gateway", 0),
      this.startOne("query-frontend", 0),
      this.startOne("compactor", 0),
      this.startOne("distributor", 0),
      this.startOne("distributor", 1),
    ]);
  }

  /** Starts a process, or restarts an ended process. */
  startOne(component: Component, i: number): Promise<Server> {
    return this.cluster.startOne(
      component,
      i,
      `-ingester.workers=${this.workers.get(`${component}-${i}`) ?? this.settings.workers}`,
      ...(this.shape === "kafka" && component === "ingester"
        ? [`-ingester.availability-zone=${i % 2 === 0 ? "a" : "b"}`]
        : []),
    );
  }

  /** Changes the number of ingest threads at the next start of a process. */
  setWorkers(component: Component, i: number, n: number): void {
    this.workers.set(`${component}-${i}`, n);
  }

  /** The component that holds unshipped data. */
  get holder(): Component {
    return this.shape === "single" ? "all" : "ingester";
  }
  get holders(): number {
    return this.shape === "single" ? 1 : INGESTERS[this.shape];
  }
  distributors = (): Server[] => this.cluster.of(this.shape === "single" ? "all" : "distributor");
  frontends = (): Server[] => this.cluster.of(this.shape === "single" ? "all" : "query-frontend");

  get(component: Component, i: number): Server {
    return this.cluster.get(component, i);
  }
  dataOf(i: number): string {
    return join(this.get(this.holder, i).dir, "db");
  }

  /** Restarts ended processes; every process runs when this resolves. */
  async heal(): Promise<void> {
    await Promise.all(
      [...this.cluster.members].map(async ([name, server]) => {
        const { child } = server;
        child?.kill("SIGCONT");
        if (!child || child.exitCode !== null || child.signalCode !== null) {
          const at = name.lastIndexOf("-");
          await this.startOne(name.slice(0, at) as Component, Number(name.slice(at + 1)));
        }
      }),
    );
  }

  /** Runs exclusive work on a process; of two simultaneous faults on one process, only the first runs. */
  async alone(component: Component, i: number, work: (server: Server) => Promise<void>): Promise<void> {
    const name = `${component}-${i}`;
    if (!this.cluster.members.has(name) || this.busy.has(name)) return;
    this.busy.add(name);
    try {
      await work(this.get(component, i));
    } finally {
      this.busy.delete(name);
    }
  }

  /** Stops a process, changes its disk, and restarts it. */
  restart(
    component: Component,
    i: number,
    signal: "SIGKILL" | "SIGTERM",
    meanwhile: () => unknown = () => undefined,
  ): Promise<void> {
    return this.alone(component, i, async (server) => {
      await within(
        STOP_MS,
        server.stop(signal),
        `${component}-${i} has not ended ${STOP_MS} ms after ${signal}`,
      );
      await meanwhile();
      await this.startOne(component, i);
    });
  }

  async addPartitions(n: number): Promise<void> {
    this.partitions += n;
    await promisify(execFile)(process.execPath, [
      "e2e/kafka-admin.ts",
      this.stores.kafka.brokers,
      "add-partitions",
      this.name,
      String(this.partitions),
    ]);
  }

  /** Requests a flush from every holder; resolves with whether all succeeded. */
  async flush(): Promise<boolean> {
    const done = await Promise.all(
      Array.from({ length: this.holders }, (_, i) =>
        this.get(this.holder, i)
          .flush()
          .then(
            () => true,
            () => false,
          ),
      ),
    );
    return done.every(Boolean);
  }

  /** IDs of the ingesters in the bucket's roster. */
  roster(): string[] {
    const dir = join(this.stores.s3.directory, this.name, "__pyroscope_cluster/cinderblock/ingesters");
    return existsSync(dir) ? readdirSync(dir) : [];
  }

  /** The last warnings and errors of each process, as text. */
  complaints(each = 6): string {
    return [...this.cluster.members]
      .map(([name, server]) => {
        const lines = server
          .log()
          .split("\n")
          .filter(
            (l) => /level=(warn|error|fatal)/.test(l) && !l.includes("configuration keys have no effect"),
          )
          .slice(-each);
        return lines.map((l) => `  ${name}: ${l.slice(0, 400)}`).join("\n");
      })
      .filter((t) => t !== "")
      .join("\n");
  }
}
