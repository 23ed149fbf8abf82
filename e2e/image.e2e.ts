import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { describeWith, freePort, type Image, type Images, images, startRegistry } from "@cinderblock/testkit";
import { Pusher, total, until } from "./pusher.ts";
import { folder, Server } from "./server.ts";

/**
 * The unchanged Dockerfile, built by a real builder on a base image of this test, and run with the chart's
 * settings: no root, only the volume writable.
 */
const USER = 10001;
let tools: Images, first: Image | undefined;

/** Output of a container until it ends, and its exit status. */
async function said(...args: Parameters<Images["run"]>): Promise<{ out: string; code: number | null }> {
  return ended(tools.run(...args));
}
async function ended(child: ChildProcess): Promise<{ out: string; code: number | null }> {
  let out = "";
  for (const s of [child.stdout!, child.stderr!])
    s.on("data", (c: Buffer) => {
      out += c.toString();
    });
  const [code] = (await once(child, "close")) as [number | null];
  return { out, code };
}

describeWith(["podman", "registry", "cosign", "syft"], "the image", () => {
  beforeAll(async () => {
    tools = await images();
  }, 600_000);

  it("is small, runs without root, documents its use, and is reproducible", async () => {
    first = await tools.build("cinderblock:1");
    const again = await tools.build("cinderblock:2");
    expect(again.layers).toEqual(first.layers);
    expect(first.addedBytes).toBeLessThan(60e6);
    expect(first.config).toMatchObject({
      User: `${USER}:${USER}`,
      ExposedPorts: { "4040/tcp": {}, "5040/tcp": {} },
      Volumes: { "/data": {} },
      Entrypoint: ["/cinderblock/apps/cinderblock/bin/cinderblock"],
      Healthcheck: { Test: expect.arrayContaining(["CMD", "node"]) },
    });
    expect((await said("cinderblock:1", folder(), USER, "-version")).out).toMatch(
      /^cinderblock \d+\.\d+\.\d+ \(\w+\) on Node v24/,
    );
    expect((await said("cinderblock:1", folder(), USER, "-modules")).out.split("\n")).toEqual(
      expect.arrayContaining(["all", "ingester", "query-frontend"]),
    );
    expect(await said("cinderblock:1", folder(), USER, "-no-such-flag")).toMatchObject({
      code: 1,
      out: expect.stringContaining("no-such-flag"),
    });
  }, 600_000);

  /** Starts the image, runs its health check, pushes, queries and stops it. */
  async function serves(start: (data: string, ...flags: string[]) => ChildProcess): Promise<void> {
    const server = new Server(),
      data = folder();
    server.port = await freePort();
    const child = start(
      data,
      "-server.http-listen-address=127.0.0.1",
      `-server.http-listen-port=${server.port}`,
    );
    let out = "";
    for (const s of [child.stdout!, child.stderr!])
      s.on("data", (c: Buffer) => {
        out += c.toString();
      });
    const closed = once(child, "close");
    await until(
      "it is ready",
      async () => {
        if (child.exitCode !== null) throw new Error(out);
        return server.answers("/ready");
      },
      120_000,
    );
    // The image's health check, on this port.
    const health = spawn(process.execPath, [
      "-e",
      first!.config.Healthcheck!.Test[3]!.replace("4040", String(server.port)),
    ]);
    expect((await once(health, "close"))[0]).toBe(0);
    const pusher = new Pusher(() => [server], 2, Date.now() - 60_000);
    await until("it took some", () => Promise.resolve(pusher.acknowledged.size > 20), 60_000);
    await pusher.stop();
    expect((await total(server, pusher)).sum).toBeGreaterThanOrEqual(pusher.acknowledged.size);
    child.kill("SIGTERM");
    expect((await closed)[0]).toBe(0);
    expect(out).toContain("msg=stopped");
    // The volume has all acknowledged profiles.
    expect(existsSync(`${data}/data`)).toBe(true);
  }

  it("serves, accepts a push and finds it, with a read-only file system except its volume, and stops on a signal", async () => {
    await serves((data, ...flags) => tools.run("cinderblock:1", data, USER, ...flags));
  }, 180_000);

  it("is the same for arm64, built without an emulator, and serves there", async () => {
    const other = await tools.buildArm64("cinderblock:arm64");
    expect([first!.architecture, other.architecture]).toEqual(["amd64", "arm64"]);
    expect(other.layers).toEqual(first!.layers);
    const { User, Entrypoint, ExposedPorts, Volumes, Healthcheck } = first!.config;
    expect(other.config).toMatchObject({ User, Entrypoint, ExposedPorts, Volumes, Healthcheck });
    expect(
      (await ended(tools.runArm64("cinderblock:arm64", folder(), USER, "-p", "process.arch"))).out.trim(),
    ).toBe("arm64");
    await serves((data, ...flags) =>
      tools.runArm64("cinderblock:arm64", data, USER, "/cinderblock/dist/cinderblock/main.mjs", ...flags),
    );
  }, 600_000);

  it("is signed, with a bill of materials, by the release script", async () => {
    const registry = await startRegistry();
    const digest = await tools.push("cinderblock:1", `${registry.address}/cinderblock:1`),
      image = `${registry.address}/cinderblock@${digest}`,
      dir = folder();
    // Signs with a key instead of the CI service's identity, and without the public log.
    const env = {
      ...process.env,
      COSIGN_PASSWORD: "of-the-test",
      PATH: `${dir}:${process.env.PATH}`,
      IMAGE: image,
      SYFT: registry.syft,
    };
    writeFileSync(
      join(dir, "cosign"),
      `#!/bin/sh\nexec ${registry.cosign} "$@" --key ${dir}/cosign.key --tlog-upload=false --use-signing-config=false\n`,
      { mode: 0o755 },
    );
    const run = (program: string, ...args: string[]): Promise<{ stdout: string }> =>
      promisify(execFile)(program, args, { cwd: dir, env, maxBuffer: 1 << 28 });
    await run(registry.cosign, "generate-key-pair");
    const verify = (what: string, of: string, ...more: string[]): Promise<{ stdout: string }> =>
      run(registry.cosign, what, "--key", join(dir, "cosign.pub"), "--insecure-ignore-tlog", ...more, of);
    await expect(verify("verify", image)).rejects.toThrow(/no signatures/i);
    await run("sh", resolve("tools/build/sign-image.sh"));
    expect(JSON.stringify(JSON.parse((await verify("verify", image)).stdout))).toContain(digest);
    const { payload } = JSON.parse(
      (await verify("verify-attestation", image, "--type", "cyclonedx")).stdout
        .split("\n")
        .find((l) => l.startsWith("{"))!,
    ) as { payload: string };
    const { predicate } = JSON.parse(Buffer.from(payload, "base64").toString()) as {
      predicate: { components: { name: string; group?: string; version: string; purl?: string }[] };
    };
    const purls = new Set(predicate.components.map((c) => c.purl ?? ""));
    // Our packages by the lock file, and those of the base.
    const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8")) as {
      packages: Record<string, { version: string }>;
    };
    for (const name of ["kafkajs", "parquet-wasm", "fastify", "react", "apache-arrow"])
      expect(purls).toContain(`pkg:npm/${name}@${packages[`node_modules/${name}`]!.version}`);
    expect([...purls].some((p) => p.startsWith("pkg:deb/debian/libc6@"))).toBe(true);
    registry.stop();
  }, 900_000);

  it("contains one component if the build selects it", async () => {
    await tools.build("ingester:1", "PROGRAM=ingester");
    expect((await said("ingester:1", folder(), USER, "-modules")).out.trim()).toBe("ingester");
    expect((await said("ingester:1", folder(), USER, "-help")).out).toContain("ingester.num-tokens");
  }, 300_000);
});
