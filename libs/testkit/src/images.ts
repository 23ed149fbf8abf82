import { type ChildProcess, execFile, spawn } from "node:child_process";
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { temporaryFolder } from "./folders.ts";
import { aptProgram, installing, missing, PARTS } from "./real-parts.ts";

/** What an image says of itself, as far as tests ask. */
export interface ImageConfig { User: string; Entrypoint: string[]; ExposedPorts: Record<string, unknown>; Volumes: Record<string, unknown>; Healthcheck?: { Test: string[] } }

/** Builds and runs images without an engine's daemon and without a registry. */
export interface Images {
  /** the image's configuration, the digests of its layers, and the bytes that it adds to its base */
  build(tag: string, ...buildArgs: string[]): Promise<{ config: ImageConfig; layers: string[]; addedBytes: number }>;
  /** runs with a read-only root, no capabilities, and `data` as its volume, which belongs to `user` */
  run(tag: string, data: string, user: number, ...args: string[]): ChildProcess;
}

/** Buildah, Podman and a base image with this machine's Node and npm; undefined where they cannot be had. */
export async function images(): Promise<Images | undefined> {
  for (const [program, version, ...packages] of [["buildah", "--version", "buildah"], ["podman", "--version", "podman", "crun"], ["mmdebstrap", "--version", "mmdebstrap"]] as const) if (!(await aptProgram(program, version, ...packages))) return undefined;
  if (process.getuid?.() !== 0) return missing("images", "buildah and podman need root here");
  const rootfs = await rootFileSystem();
  if (rootfs === undefined) return undefined;
  const dir = temporaryFolder(), store = ["--root", join(dir, "storage"), "--runroot", join(dir, "run"), "--storage-driver", "overlay"], env = { ...process.env, BUILDAH_ISOLATION: "chroot" };
  const buildah = async (...args: string[]): Promise<string> => (await promisify(execFile)("buildah", [...store, ...args], { env, maxBuffer: 1 << 26 })).stdout;
  const base = join(dir, "base"), npm = dirname(dirname(realpathSync((await promisify(execFile)("which", ["npm"])).stdout.trim())));
  for (const d of ["usr/bin", "usr/lib/node_modules", "etc/ssl/certs", "root"]) mkdirSync(join(base, d), { recursive: true });
  cpSync(rootfs, join(base, "rootfs.tar"));
  cpSync(resolve("node_modules/node/bin/node"), join(base, "usr/bin/node"));
  chmodSync(join(base, "usr/bin/node"), 0o755);
  cpSync(npm, join(base, "usr/lib/node_modules/npm"), { recursive: true });
  // How this machine reaches the package registry.
  const authorities = "/etc/ssl/certs/ca-certificates.crt", settings = join(homedir(), ".npmrc");
  if (existsSync(authorities)) cpSync(authorities, join(base, authorities));
  if (existsSync(settings)) cpSync(settings, join(base, "root/.npmrc"));
  writeFileSync(join(base, "Dockerfile"), `FROM scratch\nADD rootfs.tar /\nCOPY usr /usr\nCOPY etc /etc\nCOPY root /root\nRUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/bin/npm\n${existsSync(authorities) ? `ENV NODE_EXTRA_CA_CERTS=${authorities} SSL_CERT_FILE=${authorities}\n` : ""}`);
  await buildah("bud", "--network", "host", "-t", "localhost/node:1", base);
  rmSync(base, { recursive: true });
  const size = async (tag: string): Promise<number> => Number((JSON.parse(await buildah("images", "--json", tag)) as { size: string }[])[0]!.size.split(" ").reduce((n, part) => (/^[\d.]+$/.test(part) ? Number(part) : n * ({ kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9 }[part] ?? 1)), 0));
  return {
    build: async (tag, ...buildArgs) => {
      await buildah("bud", "--format", "docker", "--timestamp", "0", "--no-cache", "--network", "host", "--build-arg", "NODE_IMAGE=localhost/node:1", ...buildArgs.flatMap((a) => ["--build-arg", a]), "-t", `localhost/${tag}`, resolve("."));
      const { Docker } = JSON.parse(await buildah("inspect", "--type", "image", `localhost/${tag}`)) as { Docker: { config: ImageConfig; rootfs: { diff_ids: string[] } } };
      return { config: Docker.config, layers: Docker.rootfs.diff_ids, addedBytes: (await size(`localhost/${tag}`)) - (await size("localhost/node:1")) };
    },
    run: (tag, data, user, ...args) => {
      chownSync(data, user, user);
      const podman = ["podman", ...store, "--cgroup-manager", "cgroupfs", "--runtime", "crun", "run", "--rm", "--pull=never", "--no-healthcheck", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=1024:1024", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "host", "--tmpfs", "/tmp", "--volume", `${data}:/data`, `localhost/${tag}`, ...args];
      return spawn("unshare", ["-m", "sh", "-c", 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', "sh", ...podman], { stdio: ["ignore", "pipe", "pipe"] });
    },
  };
}

/** A small Debian as a tar, made once. */
async function rootFileSystem(): Promise<string | undefined> {
  const file = join(PARTS, "bookworm.tar");
  if (existsSync(file)) return file;
  return installing(async () => {
    if (existsSync(file)) return file;
    process.stderr.write("making a root file system of Debian (half a minute)\n");
    try { await promisify(execFile)("mmdebstrap", ["--variant=minbase", "--include=ca-certificates", "bookworm", `${file}.new.tar`], { maxBuffer: 1 << 26 }); } catch (err) { return missing("a base image", (err as Error).message.slice(-300)); }
    renameSync(`${file}.new.tar`, file);
    return file;
  });
}
