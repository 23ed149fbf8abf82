import { readFileSync } from "node:fs";
import {
  describeWith,
  faultProxy,
  startKafka,
  startRedis,
  startS3Server,
  temporaryFolder,
} from "@cinderblock/testkit";
import type { Component } from "./cluster.ts";
import { describeViolations } from "./history/checker.ts";
import { Clients } from "./history/clients.ts";
import { Deployment, type Settings, type Shape, type Stores } from "./history/deployment.ts";
import { History } from "./history/history.ts";
import { Asker, defaultReads, type Range } from "./history/questions.ts";
import { account } from "./history/schedule.ts";
import { settle, until } from "./wait.ts";

/** Names of the crash points in the registry. */
const REGISTRY = [
  ...readFileSync("libs/files/src/crash-points.ts", "utf8").matchAll(/^ {2}"([a-z-]+\/[a-z-]+)",$/gm),
].map(([, name]) => name!);
/** CINDERBLOCK_ACCIDENTS='ship/' visits only crash points whose name matches. */
const ONLY = new RegExp(process.env.CINDERBLOCK_ACCIDENTS ?? "");

/** Maximum time until a process reaches its crash point, in milliseconds. */
const REACHED_MS = 40_000;
const SETTINGS: Settings = {
  workers: 1,
  partitions: 2,
  resultsCache: false,
  deletesBlocks: true,
};

let stores: Stores;
const visited = new Set<string>();

/** A deployment under load, whose first holder of data stops at one crash point after another. */
class Visits {
  readonly history = new History();
  readonly deployment: Deployment;
  private readonly range: Range;
  private readonly clients: Clients;
  private readonly asker: Asker;
  private readonly component: Component;
  private workers = SETTINGS.workers;

  constructor(deployment: Deployment) {
    this.deployment = deployment;
    this.component = deployment.holder;
    const startMs = Math.floor(Date.now() / 3600_000) * 3600_000 - 1800_000;
    this.range = { startMs: startMs - 2 * 3600_000, endMs: startMs + 1800_000 };
    this.clients = new Clients(deployment.distributors, this.history, {
      seed: 20261130,
      cpu: 3,
      heap: 2,
      startMs,
      // Compacts the older hour while the newer hour still grows.
      windows: 2,
      pauseMs: 100,
    });
    this.asker = new Asker(deployment.frontends, this.history, {
      range: this.range,
      pauseMs: 400,
      defaults: defaultReads(deployment.shape === "kafka"),
    });
  }

  static async of(shape: Shape): Promise<Visits> {
    const deployment = new Deployment(shape, `crash-${shape}`, stores, SETTINGS);
    await deployment.start();
    return new Visits(deployment);
  }

  /**
   * Starts the process with a crash point, runs the steps to it, waits for the stop, and restarts it
   * normally.
   */
  async visit(point: string): Promise<void> {
    const { deployment, component, history } = this,
      server = deployment.get(component, 0),
      before = history.acknowledged;
    await until("pushes are acknowledged", () => Promise.resolve(history.acknowledged > before + 10));
    await history.fault(`stop at ${point}`, async () => {
      await server.stop("SIGKILL");
      deployment.cluster.envOf.set(`${component}-0`, { CINDERBLOCK_CRASH_POINT: point });
      if (point.startsWith("reshard/"))
        deployment.setWorkers(component, 0, (this.workers = 3 - this.workers));
      let starting = true;
      const started = deployment.startOne(component, 0).then(
        () => (starting = false),
        () => undefined,
      );
      const stopped = (): Promise<boolean> => Promise.resolve(server.child?.signalCode === "SIGKILL");
      await until("the process starts or stops", async () => !starting || (await stopped()), REACHED_MS);
      // A second signal would end the process at once.
      if (point.startsWith("hand-over/")) server.child?.kill("SIGTERM");
      const end = Date.now() + REACHED_MS;
      while (!(await stopped())) {
        if (Date.now() > end) throw new Error(`${component}-0 did not reach the crash point ${point}`);
        await this.lead(point);
      }
      await started;
      visited.add(point);
      deployment.cluster.envOf.delete(`${component}-0`);
      await deployment.startOne(component, 0);
    });
  }

  /** One step toward a crash point. */
  private async lead(point: string): Promise<void> {
    const server = this.deployment.get(this.component, 0);
    if (point.startsWith("hand-over/")) {
      await settle(200);
      return;
    }
    // The ingester reclaims the log when no head is left.
    this.clients.paused = point.startsWith("reclaim/");
    if (this.clients.paused) await settle(300);
    await Promise.race([server.flush().catch(() => undefined), settle(2000)]);
    await settle(400);
    this.clients.paused = false;
    await settle(400);
  }

  /** Checks that every acknowledged profile is present once. */
  async end(): Promise<void> {
    await Promise.all([this.clients.stop(), this.asker.stop()]);
    const last = await account(this.deployment, this.history, this.range);
    const problem = describeViolations(this.history, [...this.asker.violations, ...last.violations]);
    process.stdout.write(
      `     ${this.deployment.shape}: ${this.history.acknowledged} acknowledged of ${this.history.pushes.size} sent; answers: ${this.asker.whole} whole, ${this.asker.partial} partial, ${this.asker.failed} failed\n`,
    );
    await this.deployment.cluster.stop();
    if (problem + last.problem !== "")
      throw new Error(`${problem}${last.problem}\n${this.deployment.complaints()}`);
  }
}

describeWith(["redis", "s3", "kafka"], "a process that is killed at each crash point", () => {
  beforeAll(async () => {
    const [redis, s3, kafka] = await Promise.all([startRedis(), startS3Server([]), startKafka()]);
    const proxy = await faultProxy(s3.endpoint);
    stores = { redis, s3, kafka, proxy, compileCache: temporaryFolder() };
  }, 240_000);
  afterAll(() => stores.proxy.stop());

  it.each<[Shape, string, RegExp]>([
    ["single", "cut, log, upload, compaction and cleaning", /^(cut|reclaim|reshard|ship|compact|clean)\//],
    ["kafka", "intake and commit", /^(intake|commit)\//],
    ["direct", "hand-over", /^hand-over\//],
  ])(
    "%s: %s lose nothing and count nothing twice",
    async (shape, _, mine) => {
      const visits = await Visits.of(shape);
      for (const point of REGISTRY.filter((p) => mine.test(p) && ONLY.test(p))) await visits.visit(point);
      await visits.end();
    },
    900_000,
  );

  it("reaches every registered point", () => {
    expect(REGISTRY.length).toBeGreaterThan(25);
    expect([...visited].sort()).toEqual(REGISTRY.filter((p) => ONLY.test(p)).sort());
  });
});
