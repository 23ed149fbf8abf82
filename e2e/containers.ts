import { spawnSync } from "node:child_process";
import { mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseAllDocuments } from "yaml";
import { freePort, startProcess } from "@cinderblock/testkit";
import { Pusher, total, until } from "./pusher.ts";
import { folder, Server } from "./server.ts";

/** Containers of rendered charts and compose files as processes of this machine. */

export interface Manifest {
  kind: string;
  metadata: { name: string };
  data?: Record<string, string>;
  spec: {
    replicas?: number;
    template: {
      spec: {
        terminationGracePeriodSeconds: number;
        containers: { name: string; args: string[]; image: string; securityContext: object }[];
      };
    };
  };
}
/** Objects of a rendered chart. */
export const manifests = (text: string): Manifest[] =>
  parseAllDocuments(text)
    .map((d) => d.toJS() as Manifest)
    .filter((m) => m !== null);

/**
 * Starts the command of a container, with the paths and addresses of this machine instead of the cluster's.
 */
export async function startContainer(
  name: string,
  args: readonly string[],
  config: string,
  env: Record<string, string>,
  addresses: Record<string, string>,
): Promise<Server> {
  const server = new Server(folder());
  mkdirSync(join(server.dir, "data"), { recursive: true });
  server.port = await freePort();
  const here = (text: string): string =>
    Object.entries(addresses).reduce((t, [from, to]) => t.replaceAll(from, to), text);
  writeFileSync(join(server.dir, "config.yaml"), here(config));
  writeFileSync(join(server.dir, "overrides.yaml"), "overrides: {}\n");
  const own = args
    .filter((a) => !/^-server\.(http|internal)-listen-port/.test(a))
    .map((a) =>
      here(a)
        .replace("/etc/cinderblock/overrides/overrides.yaml", join(server.dir, "overrides.yaml"))
        .replace("/etc/cinderblock/config.yaml", join(server.dir, "config.yaml"))
        .replace(/=\/data/, `=${join(server.dir, "data")}`)
        .replace("$(POD_NAME)", name)
        .replace("$(POD_IP)", "127.0.0.1")
        .replace("$(CPU_REQUEST)", "1"),
    );
  const log = openSync(join(server.dir, "log"), "a");
  const child = startProcess(
    resolve("apps/cinderblock/bin/cinderblock"),
    [...own, "-server.http-listen-address=127.0.0.1", `-server.http-listen-port=${server.port}`],
    { cwd: join(server.dir, "data"), env: { ...process.env, ...env }, stdio: ["ignore", log, log] },
  );
  server.child = child;
  return server;
}

/** Waits until all processes are ready. */
export async function ready(servers: readonly Server[]): Promise<void> {
  await Promise.all(
    servers.map((s) =>
      until(
        `${s.dir} is ready`,
        async () => {
          if (s.child!.exitCode !== null) throw new Error(s.log());
          return (await fetch(`${s.url}/ready`)).status === 200;
        },
        60_000,
      ).catch((err: unknown) => {
        throw new Error(`${(err as Error).message}: ${s.log().slice(-1500)}`);
      }),
    ),
  );
}

/** Pushes, and finds the acknowledged profiles. */
export async function pushedIsFound(writes: Server, reads: Server): Promise<void> {
  const pusher = new Pusher(() => [writes], 2, Date.now() - 60_000);
  await until(
    "more than 20 pushes are acknowledged",
    () => Promise.resolve(pusher.acknowledged.size > 20),
    60_000,
  );
  await pusher.stop();
  const t = await total(reads, pusher, { "x-read-consistency": "strong" });
  expect([t.status, t.partial]).toEqual([200, ""]);
  expect(t.sum).toBeGreaterThanOrEqual(pusher.acknowledged.size);
  expect(t.sum).toBeLessThanOrEqual(pusher.acknowledged.size + pusher.refused);
}

/** Web UI requests that need the components tenant-settings and ad-hoc-profiles: short links, and files. */
export async function keepsLinksAndFiles(links: Server, files: Server): Promise<void> {
  const set = await links.json("/settings.v1.SettingsService/Set", {
    setting: { name: "link-1", value: "{}", modifiedAt: "1" },
  });
  expect([set.status, (await links.json("/settings.v1.SettingsService/Get", {})).body]).toEqual([
    200,
    expect.objectContaining({ settings: [expect.objectContaining({ name: "link-1" })] }),
  ]);
  const { status, body } = await files.json("/adhocprofiles.v1.AdHocProfileService/Upload", {
    name: "a.txt",
    profile: Buffer.from("main;work 3\n").toString("base64"),
  });
  expect([status, body]).toEqual([200, expect.objectContaining({ id: expect.any(String) })]);
}

/** The containers of `helm test`, as processes against a server. */
export function passesHelmTest(rendered: string, server: Server): void {
  const all = manifests(rendered),
    dir = folder();
  const { spec } = all.find((m) => m.kind === "Pod") as unknown as {
    spec: Record<"initContainers" | "containers", { name: string; args: string[]; env: object[] }[]>;
  };
  const { data } = all.find((m) => m.metadata.name === "t-cinderblock-test" && m.kind === "ConfigMap")!;
  writeFileSync(join(dir, "profile.txt"), data!["profile.txt"]!);
  const said = [...spec.initContainers, ...spec.containers].map(({ name, args, env }) => {
    expect(env).toEqual([{ name: "CINDERBLOCK_PROGRAM", value: "cli" }]);
    const r = spawnSync(
      resolve("apps/cinderblock/bin/cinderblock"),
      args.map((a) => a.replace("http://t-cinderblock:4040", server.url).replace("/profile/", `${dir}/`)),
      { encoding: "utf8", env: { ...process.env, CINDERBLOCK_PROGRAM: "cli" } },
    );
    expect([name, r.status, r.stderr]).toEqual([name, 0, ""]);
    return r.stdout;
  });
  expect(said[1]).toMatch(/test\n/);
}

/** The runbook's function and commands, with a kubectl that runs them next to a process of this machine. */
export function runsCommands(frontend: Server): void {
  const page = readFileSync("docs/operations/runbook.md", "utf8"),
    [, definition] = /^ {4}(cinderblock-cli\(\) \{.+\})$/m.exec(page)!,
    bin = folder();
  writeFileSync(
    join(bin, "kubectl"),
    `#!/bin/bash
[ "$1 $2 $3 $4 $5" = "exec --namespace profiles deploy/profiles-cinderblock-query-frontend --" ] || { echo "kubectl $*" >&2; exit 64; }
[ "$6" = cinderblock-cli ] || exit 127
shift 6
exec ${resolve("apps/cli/bin/cinderblock-cli")} "\${@/#-config.file=\\/etc\\/cinderblock/-config.file=${frontend.dir.replaceAll("/", "\\/")}}"
`,
    { mode: 0o755 },
  );
  const commands = ["blocks verify", "index rebuild", "ingesters list"];
  for (const command of commands) {
    expect([command, page.includes(`cinderblock-cli ${command}`)]).toEqual([command, true]);
    const r = spawnSync("bash", ["-c", `${definition}\ncinderblock-cli ${command}`], {
      encoding: "utf8",
      env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
    });
    expect([command, r.status, r.stderr.replace(/^\s+$/, "")]).toEqual([command, 0, ""]);
  }
}
