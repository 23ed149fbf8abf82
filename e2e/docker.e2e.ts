import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describeWith, type DockerEngine, freePort, startDocker } from "@cinderblock/testkit";
import { stringify } from "yaml";
import { Pusher, settle, total, until } from "./pusher.ts";
import { folder, Server } from "./server.ts";

/**
 * The quick start and the cluster of the compose files, run by Docker. Without Grafana: the test does not
 * build its image.
 */
let engine: DockerEngine;

/**
 * The compose file with images of this test, another port, and builds that use this machine's package
 * registry.
 */
class Project {
  readonly front = new Server();
  readonly file: string;
  readonly name: string;
  private readonly overrides = join(folder(), "overrides.yml");
  constructor(file: string, name: string) {
    this.file = file;
    this.name = name;
  }
  async use(published: string, services: Record<string, object>): Promise<void> {
    this.front.port = await freePort();
    // Compose's tag for replacing a list instead of merging it.
    writeFileSync(
      this.overrides,
      stringify({ services }).replace(
        new RegExp(`( {2}${published}:\n)`),
        `$1    ports: !override ["127.0.0.1:${this.front.port}:4040"]\n`,
      ),
    );
  }
  compose(...args: string[]): Promise<string> {
    return engine.docker("compose", "-p", this.name, "-f", resolve(this.file), "-f", this.overrides, ...args);
  }
  async states(): Promise<Record<string, string>> {
    const lines = (await this.compose("ps", "--all", "--format", "json"))
      .trim()
      .split("\n")
      .map((l) => JSON.parse(l) as { Service: string; State: string; Health: string; ExitCode: number });
    return Object.fromEntries(
      lines.map((l) => [l.Service, l.State === "exited" ? `exited ${l.ExitCode}` : l.Health || l.State]),
    );
  }
}
const built = (): object => ({ build: { network: "host", args: { NODE_IMAGE: engine.images.node } } });

async function pushed(to: Server, ms: number): Promise<Pusher> {
  const pusher = new Pusher(() => [to], 2, Date.now() - 60_000);
  await settle(ms);
  await pusher.stop();
  expect(pusher.acknowledged.size).toBeGreaterThan(20);
  expect(pusher.refused).toBe(0);
  return pusher;
}
const read = async (from: Server, pusher: Pusher): Promise<[number, string, number]> => {
  const t = await total(from, pusher, { "x-read-consistency": "strong" });
  return [t.status, t.partial, t.sum];
};

describeWith(["docker"], "docker compose", () => {
  beforeAll(async () => {
    engine = await startDocker();
    await engine.make("node", "redis", "kafka", "s3");
  }, 900_000);
  afterAll(() => engine.stop(), 60_000);

  it("up is the quick start: healthy, with the demo's functions, and acknowledged profiles survive the container", async () => {
    const quick = new Project("docker-compose.yml", "quick"),
      { front } = quick;
    await quick.use("cinderblock", { cinderblock: built(), demo: built() });
    await quick.compose("up", "--detach", "--wait", "cinderblock", "demo");
    expect(await quick.states()).toEqual({ cinderblock: "healthy", demo: "running" });
    const pusher = await pushed(front, 1500);
    // The demo has its own series, of another type.
    const sum = (await read(front, pusher))[2];
    expect(sum).toBeGreaterThanOrEqual(pusher.acknowledged.size);
    await until(
      "the demo's functions",
      async () => {
        const { body } = await front.json("/querier.v1.QuerierService/SelectMergeStacktraces", {
          profileTypeID: "wall:wall:nanoseconds:wall:nanoseconds",
          labelSelector: '{service_name="demo-shop"}',
          start: String(Date.now() - 600_000),
          end: String(Date.now() + 60_000),
        });
        return /searchCatalogue/.test(JSON.stringify(body)) && /priceCart/.test(JSON.stringify(body));
      },
      60_000,
    );
    // The command line is a command of the image.
    expect(
      await quick.compose(
        ...["exec", "-T", "cinderblock", "cinderblock-cli", "top"],
        ...['-query={service_name="demo-shop"}', "-profile-type=wall:wall:nanoseconds:wall:nanoseconds"],
      ),
    ).toContain("main.cjs");
    // Kills one container, and replaces another.
    await quick.compose("kill", "cinderblock");
    await quick.compose("up", "--detach", "--wait", "cinderblock");
    expect((await read(front, pusher))[2]).toBeGreaterThanOrEqual(pusher.acknowledged.size);
    await quick.compose("up", "--detach", "--wait", "--force-recreate", "cinderblock");
    expect((await read(front, pusher))[2]).toBeGreaterThanOrEqual(pusher.acknowledged.size);
    const began = Date.now();
    await quick.compose("stop");
    expect(await quick.states()).toMatchObject({ cinderblock: "exited 0" });
    expect(Date.now() - began).toBeLessThan(20_000); // no container was killed after the grace period
    await quick.compose("down", "--volumes");
  }, 600_000);

  it("up is a cluster of one container each, which keeps a zone's answers when a container is lost, and scales", async () => {
    const cluster = new Project("tools/compose/cluster.yml", "many"),
      { front } = cluster,
      { images } = engine;
    const ours = [
      "gateway",
      "ingester-a",
      "ingester-b",
      "query-scheduler",
      "querier",
      "store-gateway",
      "compactor",
    ];
    await cluster.use("gateway", {
      ...Object.fromEntries([...ours, "demo"].map((s) => [s, built()])),
      redis: { image: images.redis },
      bucket: { image: images.redis },
      kafka: { image: images.kafka },
      s3: { image: images.s3 },
    });
    await cluster.compose("up", "--detach", ...ours, "demo");
    await until(
      "every service is healthy",
      async () => {
        const s = await cluster.states();
        return ours.every((o) => s[o] === "healthy");
      },
      180_000,
    ).catch(async (err: unknown) => {
      throw new Error(
        `${(err as Error).message}: ${JSON.stringify(await cluster.states())} ${(await cluster.compose("logs", "--tail", "5")).slice(-6000)}`,
      );
    });
    expect(await cluster.states()).toEqual({
      ...Object.fromEntries(ours.map((s) => [s, "healthy"])),
      demo: "running",
      redis: "running",
      kafka: "running",
      s3: "running",
      bucket: "exited 0",
    });
    const pusher = await pushed(front, 3000),
      all = [200, "", pusher.acknowledged.size];
    expect(await read(front, pusher)).toEqual(all);
    await cluster.compose("kill", "ingester-a");
    expect((await read(front, pusher))[2]).toBe(pusher.acknowledged.size);
    await cluster.compose("up", "--detach", "--wait", "ingester-a");
    await until(
      "the zone that was away answers with the other",
      async () => (await read(front, pusher)).join() === all.join(),
      60_000,
    );
    await cluster.compose("up", "--detach", "--scale", "querier=2", "--no-recreate", "querier");
    await until(
      "both queriers are healthy",
      async () =>
        (await cluster.compose("ps", "--format", "json", "querier"))
          .trim()
          .split("\n")
          .filter((l) => l.includes('"Health":"healthy"')).length === 2,
      60_000,
    );
    expect(await read(front, pusher)).toEqual(all);
    // Every process hands over and ends without a kill.
    await cluster.compose("stop", "--timeout", "60");
    const states = await cluster.states();
    for (const s of ours) expect([s, states[s]]).toEqual([s, "exited 0"]);
    await cluster.compose("down", "--volumes");
  }, 600_000);
});
