import { execFile } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { atEnd, startProcess } from "./at-end.ts";
import { nodeBase } from "./base-image.ts";
import { temporaryFolder } from "./folders.ts";
import { part } from "./parts/declare.ts";

/**
 * Stand-ins for the images in the compose files, built here from the same programs without an image registry.
 */
const NAMES = {
  node: "cinderblock-test/node",
  redis: "cinderblock-test/redis",
  kafka: "cinderblock-test/kafka",
  s3: "cinderblock-test/versitygw",
} as const;

/** Docker's engine and `docker compose`. */
export interface DockerEngine {
  /** names of the images that replace a registry's */
  readonly images: typeof NAMES;
  /** builds the images that a test needs */
  make(...which: (keyof typeof NAMES)[]): Promise<void>;
  /** output of the command; an error carries the command's messages */
  docker(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

/** Entrypoint of the Kafka image: takes settings from KAFKA_… variables, and formats the folder once. */
const KAFKA_ENTRYPOINT = `#!/bin/sh
set -e
env | sed -n 's/^KAFKA_\\([A-Z0-9_]*\\)=\\(.*\\)/\\1 \\2/p' | while read -r name value; do echo "$(echo "$name" | tr 'A-Z_' 'a-z.')=$value"; done > /tmp/server.properties
echo log.dirs=/tmp/kafka >> /tmp/server.properties
java -Xmx128m -cp '/opt/kafka/libs/*' kafka.tools.StorageTool format --cluster-id=MkU3OEVBNTcwNTJENDM2Qk --ignore-formatted -c /tmp/server.properties
exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' kafka.Kafka /tmp/server.properties
`;

/**
 * Entrypoint of the Redis image: lets other containers connect without a password, and runs any other command
 * unchanged.
 */
const REDIS_ENTRYPOINT = '#!/bin/sh\n[ "$1" = redis-server ] && exec "$@" --protected-mode no\nexec "$@"\n';

/**
 * Starts a separate, empty engine. Its containers reach each other, and are reachable by published ports; it
 * leaves no network rules behind.
 */
export async function startDocker(): Promise<DockerEngine> {
  const program = part("docker"),
    plugin = part("compose"),
    rootfs = part("debian");
  const dir = temporaryFolder(),
    at = (...path: string[]): string => join(dir, ...path),
    env = {
      ...process.env,
      DOCKER_HOST: `unix://${at("docker.sock")}`,
      DOCKER_CONFIG: at("config"),
      DOCKER_BUILDKIT: "1",
    };
  mkdirSync(at("config/cli-plugins"), { recursive: true });
  copyFileSync(plugin, at("config/cli-plugins/docker-compose"));
  const docker = async (...args: string[]): Promise<string> => {
    try {
      return (await promisify(execFile)("docker", args, { env, maxBuffer: 1 << 26 })).stdout;
    } catch (err) {
      const e = err as Error & { stdout: string; stderr: string };
      throw new Error(`docker ${args.join(" ")}: ${`${e.stdout}${e.stderr}`.slice(-3000)}`);
    }
  };
  // A mount namespace hides the mixed cgroup hierarchy, which Debian's container runtime does not support.
  const daemon = startProcess(
    "unshare",
    [
      "-m",
      "sh",
      "-c",
      'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"',
      "sh",
      program,
      "--data-root",
      at("data"),
      "--exec-root",
      at("exec"),
      "--pidfile",
      at("pid"),
      "--host",
      `unix://${at("docker.sock")}`,
      "--bridge=none",
      "--iptables=false",
      "--exec-opt",
      "native.cgroupdriver=cgroupfs",
    ],
    { stdio: "ignore" },
  );
  const kill = (): void => {
    daemon.kill("SIGTERM");
  };
  let stopped = false;
  const stop = async (): Promise<void> => {
    if (stopped) return;
    stopped = true;
    // Containers of a failed test end with the engine, but networks do not.
    if (daemon.exitCode === null) {
      const left = (await docker("ps", "--all", "--quiet")).split("\n").filter(Boolean);
      if (left.length > 0) await docker("rm", "--force", ...left);
      await docker("network", "prune", "--force");
      await new Promise((done) => {
        daemon.once("exit", done);
        kill();
      });
    }
    rmSync(dir, { recursive: true, force: true });
  };
  atEnd(stop);
  for (let i = 0; ; i++) {
    try {
      await docker("version");
      break;
    } catch (err) {
      if (i > 100 || daemon.exitCode !== null) {
        throw new Error("the engine of Docker does not start", { cause: err });
      }
    }
    await new Promise((r) => {
      setTimeout(r, 200);
    });
  }

  const build = async (
    name: string,
    dockerfile: string,
    fill: (folder: string) => Promise<void> | void,
  ): Promise<void> => {
    const folder = at("build");
    mkdirSync(folder);
    await fill(folder);
    if (dockerfile !== "") writeFileSync(join(folder, "Dockerfile"), dockerfile);
    // The engine's own builder, for which Debian's command needs no plugin.
    await promisify(execFile)("docker", ["build", "--quiet", "--network", "host", "--tag", name, folder], {
      env: { ...env, DOCKER_BUILDKIT: "0" },
      maxBuffer: 1 << 26,
    });
    rmSync(folder, { recursive: true });
  };
  const debian = (packages: string): string =>
    `FROM ${NAMES.node}\nRUN apt-get update -q && apt-get install -y -q --no-install-recommends ${packages}\n`;
  const recipes: Record<keyof typeof NAMES, () => Promise<void>> = {
    node: () => build(NAMES.node, "", (folder) => nodeBase(rootfs, folder)),
    redis: () =>
      build(
        NAMES.redis,
        `${debian("redis-server")}COPY start /start\nENTRYPOINT ["sh", "/start"]\n`,
        (folder) => {
          writeFileSync(join(folder, "start"), REDIS_ENTRYPOINT);
        },
      ),
    kafka: () =>
      build(
        NAMES.kafka,
        `${debian("openjdk-17-jre-headless")}COPY libs /opt/kafka/libs\nCOPY start /start\nENTRYPOINT ["sh", "/start"]\n`,
        (folder) => {
          cpSync(part("kafka"), join(folder, "libs"), { recursive: true });
          writeFileSync(join(folder, "start"), KAFKA_ENTRYPOINT);
        },
      ),
    s3: () =>
      build(
        NAMES.s3,
        `FROM ${NAMES.node}\nCOPY versitygw /usr/bin/versitygw\nENTRYPOINT ["versitygw"]\n`,
        (folder) => {
          copyFileSync(part("s3"), join(folder, "versitygw"));
        },
      ),
  };
  return {
    images: NAMES,
    docker,
    make: async (...which) => {
      for (const w of which) await recipes[w]();
    },
    stop,
  };
}
