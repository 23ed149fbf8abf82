import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { freePort, type ImageConfig, type Images, images } from "@cinderblock/testkit";
import { Pusher, settle, total, until } from "./pusher.ts";
import { folder, Server } from "./server.ts";

/** The Dockerfile as it is, built by a real builder on a base made here, and run with what the chart asks for: no root, nothing to write but the volume. */
const USER = 10001;
let tools: Images | undefined, config: ImageConfig | undefined;
beforeAll(async () => { tools = await images(); }, 600_000); // what is missing was said when it was looked for

/** What a container prints until it ends, and how it ended. */
async function said(...args: Parameters<Images["run"]>): Promise<{ out: string; code: number | null }> {
  const child = tools!.run(...args);
  let out = "";
  for (const s of [child.stdout!, child.stderr!]) s.on("data", (c: Buffer) => { out += c.toString(); });
  const [code] = (await once(child, "close")) as [number | null];
  return { out, code };
}

describe("the image", () => {
  it("is small, without root, says how to use it, and is the same from the same sources", async () => {
    if (!tools) return;
    const first = await tools.build("cinderblock:1"), again = await tools.build("cinderblock:2");
    config = first.config;
    expect(again.layers).toEqual(first.layers);
    expect(first.addedBytes).toBeLessThan(60e6);
    expect(first.config).toMatchObject({ User: `${USER}:${USER}`, ExposedPorts: { "4040/tcp": {} }, Volumes: { "/data": {} }, Entrypoint: ["/cinderblock/apps/cinderblock/bin/cinderblock"], Healthcheck: { Test: expect.arrayContaining(["CMD", "node"]) } });
    expect((await said("cinderblock:1", folder(), USER, "-version")).out).toMatch(/^cinderblock \d+\.\d+\.\d+ \(\w+\) on Node v24/);
    expect((await said("cinderblock:1", folder(), USER, "-modules")).out.split("\n")).toEqual(expect.arrayContaining(["all", "ingester", "query-frontend"]));
    expect(await said("cinderblock:1", folder(), USER, "-no-such-flag")).toMatchObject({ code: 1, out: expect.stringContaining("no-such-flag") });
  }, 600_000);

  it("serves, takes a push and finds it, with nothing to write to but its volume, and stops when it is told", async () => {
    if (!tools) return;
    const server = new Server(), data = folder();
    server.port = await freePort();
    const child = tools.run("cinderblock:1", data, USER, "-server.http-listen-address=127.0.0.1", `-server.http-listen-port=${server.port}`);
    let out = "";
    for (const s of [child.stdout!, child.stderr!]) s.on("data", (c: Buffer) => { out += c.toString(); });
    const closed = once(child, "close");
    await until("it is ready", async () => { if (child.exitCode !== null) throw new Error(out); return server.answers("/ready"); }, 60_000);
    // The health check that the image names, asked of this port.
    const health = spawn(process.execPath, ["-e", config!.Healthcheck!.Test[3]!.replace("4040", String(server.port))]);
    expect((await once(health, "close"))[0]).toBe(0);
    const pusher = new Pusher(() => [server], 2, Date.now() - 60_000);
    await settle(1000);
    await pusher.stop();
    expect(pusher.acknowledged.size).toBeGreaterThan(20);
    expect((await total(server, pusher)).sum).toBeGreaterThanOrEqual(pusher.acknowledged.size);
    child.kill("SIGTERM");
    expect((await closed)[0]).toBe(0);
    expect(out).toContain("msg=stopped");
    // What was acknowledged is in the volume.
    expect(existsSync(`${data}/data`)).toBe(true);
  }, 180_000);

  it("is one component alone where the build says so", async () => {
    if (!tools) return;
    await tools.build("ingester:1", "PROGRAM=ingester");
    expect((await said("ingester:1", folder(), USER, "-modules")).out.trim()).toBe("ingester");
    expect((await said("ingester:1", folder(), USER, "-help")).out).toContain("ingester.num-tokens");
  }, 300_000);
});
