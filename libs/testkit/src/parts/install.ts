import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Install, onPath, PARTS_FOLDER } from "./part.ts";
import { run } from "./recipes.ts";
import { type PartId, PARTS, partState, withNeeds } from "./table.ts";

/** Command that a person would type for the installation. */
export function describeInstall(install: Install): string {
  switch (install.by) {
    case "apt":
      return `apt-get install ${install.packages.join(" ")}`;
    case "go":
      return `go install ${install.module}`;
    case "npm":
      return `npm install ${install.spec}`;
    case "pip":
      return `pip install ${install.requirements.join(" ")}`;
    case "maven":
      return `mvn dependency:copy-dependencies ${install.artifacts.join(" ")}`;
    case "recipe":
      return install.text;
  }
}

/** Serializes installations, because several runs on one machine share the folder of parts. */
async function locked<T>(work: () => Promise<T>): Promise<T> {
  mkdirSync(PARTS_FOLDER, { recursive: true });
  const lock = join(PARTS_FOLDER, "installing");
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== "EEXIST") throw err;
    }
    if (!ownerLives(lock)) rmSync(lock, { force: true });
    await new Promise((r) => {
      setTimeout(r, 200);
    });
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function ownerLives(lock: string): boolean {
  try {
    process.kill(Number(readFileSync(lock, "utf8")), 0);
    return true;
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    return code === "EPERM" || code === "ENOENT"; // owned by another user, or released in the meantime
  }
}

/** Installs packages of Debian or Ubuntu without starting their services. */
export async function aptInstall(packages: readonly string[]): Promise<void> {
  const root = process.getuid?.() === 0,
    env = { DEBIAN_FRONTEND: "noninteractive" };
  const apt = (...args: string[]): Promise<string> =>
    root
      ? run("apt-get", args, { env })
      : run("sudo", ["-n", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", ...args]);
  // Debian's hook that prevents packages from starting their services.
  const policy = "/usr/sbin/policy-rc.d",
    ours = root && !existsSync(policy);
  if (ours) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const install = (): Promise<string> => apt("install", "-y", "-q", "--no-install-recommends", ...packages);
    try {
      await install();
    } catch {
      await apt("update", "-q"); // package lists may be missing or old
      await install();
    }
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
}

async function npmInstall(spec: string, to: string): Promise<void> {
  mkdirSync(to, { recursive: true });
  await run("npm", ["install", "--prefix", to, "--no-audit", "--no-fund", spec]);
  writeFileSync(join(to, "installed"), "");
}

async function pipInstall(requirements: readonly string[], to: string): Promise<void> {
  try {
    await run("python3", ["-m", "venv", to]);
    await run(join(to, "bin/pip"), ["install", "-q", ...requirements]);
  } catch (err) {
    rmSync(to, { recursive: true, force: true });
    throw err;
  }
}

async function mavenCopy(artifacts: readonly string[], transitive: boolean, to: string): Promise<void> {
  mkdirSync(to, { recursive: true });
  const dependencies = artifacts.map((a) => {
    const [group, artifact, version] = a.split(":");
    return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
  });
  writeFileSync(
    join(to, "pom.xml"),
    `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>test</groupId><artifactId>parts</artifactId><version>1</version><dependencies>${dependencies.join("")}</dependencies></project>`,
  );
  if (onPath("mvn") === undefined) await aptInstall(["maven"]);
  await run(
    "mvn",
    [
      "-B",
      "-q",
      "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
      "-DoutputDirectory=lib.new",
      "-DincludeScope=runtime",
      ...(transitive ? [] : ["-DexcludeTransitive=true"]),
    ],
    { cwd: to },
  );
  renameSync(join(to, "lib.new"), join(to, "lib"));
}

async function goInstall(module: string, to: string): Promise<void> {
  const folder = join(PARTS_FOLDER, `${to}.new`);
  await run("go", ["install", "-ldflags=-s -w", module], {
    env: { GOBIN: folder, CGO_ENABLED: "0", GOFLAGS: "-trimpath -modcacherw -p=2" },
  });
  const [path] = module.split("@") as [string];
  // A module's major version is not part of its program's name.
  const name = path.split("/").findLast((p) => !/^v\d+$/.test(p))!;
  renameSync(join(folder, name), join(PARTS_FOLDER, to));
  rmSync(folder, { recursive: true });
}

async function steps(install: Install): Promise<void> {
  switch (install.by) {
    case "apt":
      return aptInstall(install.packages);
    case "go":
      return goInstall(install.module, install.to);
    case "npm":
      return npmInstall(install.spec, join(PARTS_FOLDER, install.to));
    case "pip":
      return pipInstall(install.requirements, join(PARTS_FOLDER, install.to));
    case "maven":
      return mavenCopy(install.artifacts, install.transitive, join(PARTS_FOLDER, install.to));
    case "recipe":
      return install.run();
  }
}

/** Installs the missing parts, dependencies first; returns each failure by its part. */
export function installParts(
  ids: readonly PartId[],
  progress: (line: string) => void,
): Promise<Map<PartId, string>> {
  return locked(async () => {
    const failed = new Map<PartId, string>();
    for (const id of withNeeds(ids)) {
      const { install, find, needs } = PARTS[id];
      if ("path" in find() || install === undefined) continue;
      // the failure of that part states the reason
      if (needs?.some((n) => !partState(n as PartId).here)) continue;
      const started = performance.now();
      progress(`installing ${id}: ${describeInstall(install)}`);
      try {
        await steps(install);
        const found = find();
        if ("reason" in found) throw new Error(`installed, and still ${found.reason}`);
        progress(`installed ${id} in ${((performance.now() - started) / 1000).toFixed(0)} s`);
      } catch (err) {
        failed.set(id, (err as Error).message);
        progress(`FAIL installing ${id}: ${(err as Error).message}`);
      }
    }
    return failed;
  });
}
