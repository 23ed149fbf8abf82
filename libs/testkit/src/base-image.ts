import { execFile } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { part } from "./parts/declare.ts";

/**
 * Writes the build context of a stand-in for `node:24-bookworm-slim`: this machine's Node and npm on the same
 * Debian.
 */
export async function nodeBase(rootfs: string, folder: string): Promise<void> {
  const npm = dirname(dirname(realpathSync((await promisify(execFile)("which", ["npm"])).stdout.trim())));
  for (const d of ["usr/bin", "usr/lib/node_modules", "etc/ssl/certs", "root"])
    mkdirSync(join(folder, d), { recursive: true });
  cpSync(rootfs, join(folder, "rootfs.tar"));
  cpSync(resolve("node_modules/node/bin/node"), join(folder, "usr/bin/node"));
  chmodSync(join(folder, "usr/bin/node"), 0o755);
  cpSync(npm, join(folder, "usr/lib/node_modules/npm"), { recursive: true });
  // Settings with which this machine reaches the package registry.
  const authorities = "/etc/ssl/certs/ca-certificates.crt",
    settings = join(homedir(), ".npmrc");
  if (existsSync(authorities)) cpSync(authorities, join(folder, authorities));
  if (existsSync(settings)) cpSync(settings, join(folder, "root/.npmrc"));
  writeFileSync(
    join(folder, "Dockerfile"),
    `FROM scratch\nADD rootfs.tar /\nCOPY usr /usr\nCOPY etc /etc\nCOPY root /root\nRUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/bin/npm\n${existsSync(authorities) ? `ENV NODE_EXTRA_CA_CERTS=${authorities} SSL_CERT_FILE=${authorities}\n` : ""}`,
  );
}

/** The same build context for arm64, with Node from npm; the build runs no program of that architecture. */
export function nodeBaseArm64(rootfs: string, folder: string): void {
  mkdirSync(join(folder, "usr/bin"), { recursive: true });
  cpSync(rootfs, join(folder, "rootfs.tar"));
  cpSync(part("node-arm64"), join(folder, "usr/bin/node"));
  writeFileSync(join(folder, "Dockerfile"), "FROM scratch\nADD rootfs.tar /\nCOPY usr /usr\n");
}
