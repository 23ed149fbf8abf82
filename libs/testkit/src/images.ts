import { type ChildProcess, execFile } from "node:child_process";
import { chownSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { startProcess } from "./at-end.ts";
import { nodeBase, nodeBaseArm64 } from "./base-image.ts";
import { temporaryFolder } from "./folders.ts";
import { part } from "./parts/declare.ts";

/** Configuration of an image that tests check. */
interface ImageConfig {
  User: string;
  Entrypoint: string[];
  ExposedPorts: Record<string, unknown>;
  Volumes: Record<string, unknown>;
  Healthcheck?: { Test: string[] };
}

/** A built image: its configuration and the layers that the build added. */
export interface Image {
  config: ImageConfig;
  architecture: string;
  /** digests of the layers above the base image's */
  layers: string[];
  /** size that these layers add to the base image, in bytes */
  addedBytes: number;
}

/** Builds and runs images without an engine's daemon and without a registry. */
export interface Images {
  build(tag: string, ...buildArgs: string[]): Promise<Image>;
  /** builds for arm64 on this machine, without running programs of that architecture */
  buildArm64(tag: string): Promise<Image>;
  /** runs with a read-only root, without capabilities, and with `data` as a volume that belongs to `user` */
  run(tag: string, data: string, user: number, ...args: string[]): ChildProcess;
  /** runs an arm64 image in an emulator, which executes the image's Node and script */
  runArm64(tag: string, data: string, user: number, ...args: string[]): ChildProcess;
  /** pushes to a registry without TLS; returns the digest there */
  push(tag: string, to: string): Promise<string>;
}

/** Buildah, Podman and base images with this machine's Node and npm, for two architectures. */
export async function images(): Promise<Images> {
  part("podman");
  const rootfs = part("debian"),
    foreign = part("debian-arm64");
  const dir = temporaryFolder(),
    // Podman limits the path of its run-time files to 50 characters.
    store = [
      "--root",
      join(dir, "storage"),
      "--runroot",
      temporaryFolder("r-"),
      "--storage-driver",
      "overlay",
    ],
    env = { ...process.env, BUILDAH_ISOLATION: "chroot" };
  const buildah = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)("buildah", [...store, ...args], { env, maxBuffer: 1 << 26 })).stdout;
  const base = join(dir, "base"),
    BASE = "localhost/node:1";
  for (const [architecture, fill] of [
    ["amd64", nodeBase],
    ["arm64", nodeBaseArm64],
  ] as const) {
    await fill(architecture === "arm64" ? foreign : rootfs, base);
    await buildah(
      "bud",
      "--network",
      "host",
      "--platform",
      `linux/${architecture}`,
      "-t",
      `localhost/node-${architecture}:1`,
      base,
    );
    rmSync(base, { recursive: true });
  }
  // One name for both architectures, as for images of a registry.
  await buildah("manifest", "create", BASE);
  for (const architecture of ["amd64", "arm64"])
    await buildah("manifest", "add", "--arch", architecture, BASE, `localhost/node-${architecture}:1`);
  const size = async (tag: string): Promise<number> =>
    Number(
      (JSON.parse(await buildah("images", "--json", tag)) as { size: string }[])[0]!.size
        .split(" ")
        .reduce(
          (n, part) =>
            /^[\d.]+$/.test(part) ? Number(part) : n * ({ kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9 }[part] ?? 1),
          0,
        ),
    );
  const inspect = async (
    tag: string,
  ): Promise<{ config: ImageConfig; architecture: string; rootfs: { diff_ids: string[] } }> =>
    (
      JSON.parse(await buildah("inspect", "--type", "image", `localhost/${tag}`)) as {
        Docker: { config: ImageConfig; architecture: string; rootfs: { diff_ids: string[] } };
      }
    ).Docker;
  const build = async (architecture: string, tag: string, ...buildArgs: string[]): Promise<Image> => {
    // New builders set both platforms themselves; Debian's builder is too old.
    const below = `node-${architecture}:1`,
      values = [
        `NODE_IMAGE=${BASE}`,
        "BUILDPLATFORM=linux/amd64",
        `TARGETPLATFORM=linux/${architecture}`,
        ...buildArgs,
      ];
    await buildah(
      "bud",
      "--format",
      "docker",
      "--timestamp",
      "0",
      "--no-cache",
      "--network",
      "host",
      "--platform",
      `linux/${architecture}`,
      ...values.flatMap((a) => ["--build-arg", a]),
      "-t",
      `localhost/${tag}`,
      resolve("."),
    );
    const {
      config,
      architecture: is,
      rootfs: { diff_ids },
    } = await inspect(tag);
    return {
      config,
      architecture: is,
      layers: diff_ids.slice((await inspect(below)).rootfs.diff_ids.length),
      addedBytes: (await size(`localhost/${tag}`)) - (await size(`localhost/${below}`)),
    };
  };
  const run = (data: string, user: number, ...args: string[]): ChildProcess => {
    chownSync(data, user, user);
    const podman = [
      "podman",
      ...store,
      "--cgroup-manager",
      "cgroupfs",
      "--runtime",
      "crun",
      "run",
      "--rm",
      "--pull=never",
      "--no-healthcheck",
      "--ulimit",
      "nofile=4096:4096",
      "--ulimit",
      "nproc=1024:1024",
      "--read-only",
      "--cap-drop",
      "ALL",
      "--security-opt",
      "no-new-privileges",
      "--network",
      "host",
      "--tmpfs",
      "/tmp",
      "--volume",
      `${data}:/data`,
      ...args,
    ];
    return startProcess(
      "unshare",
      ["-m", "sh", "-c", 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', "sh", ...podman],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
  };
  const emulator = part("arm64-emulator");
  return {
    build: (tag, ...buildArgs) => build("amd64", tag, ...buildArgs),
    buildArm64: (tag) => build("arm64", tag),
    run: (tag, data, user, ...args) => run(data, user, `localhost/${tag}`, ...args),
    runArm64: (tag, data, user, ...args) =>
      run(
        data,
        user,
        "--platform",
        "linux/arm64",
        "--volume",
        `${emulator}:/emulator:ro`,
        "--entrypoint",
        "/emulator",
        `localhost/${tag}`,
        "/usr/bin/node",
        ...args,
      ),
    push: async (tag, to) => {
      const digest = join(dir, "digest");
      await buildah(
        "push",
        "--tls-verify=false",
        "--digestfile",
        digest,
        `localhost/${tag}`,
        `docker://${to}`,
      );
      return readFileSync(digest, "utf8").trim();
    },
  };
}
