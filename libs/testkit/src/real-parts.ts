import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** Where installed servers are kept between runs. */
export const PARTS = process.env.CINDERBLOCK_PARTS ?? join(homedir(), ".cache", "cinderblock-parts");
const VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";

/** Ports that were given and may not be listened on yet. */
const given = new Set<number>();

/** A port that nobody listens on, another one each time. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await new Promise<number>((done) => {
      const s = createServer();
      s.listen(0, "127.0.0.1", () => {
        const at = (s.address() as { port: number }).port;
        s.close(() => done(at));
      });
    });
    if (given.has(port)) continue;
    given.add(port);
    return port;
  }
}

/** A real part that is not here is said loudly and left out; in CI it is a failure. */
export function missing(what: string, why: string): undefined {
  if (process.env.CI === "true") throw new Error(`${what} could not be installed, and CI needs it: ${why}`);
  process.stderr.write(`NOTE: ${what} could not be installed, its tests are left out: ${why}\n`);
  return undefined;
}

/** Test files run beside one another: one of them installs at a time, the others look again when it is through. */
export async function installing<T>(work: () => Promise<T>): Promise<T> {
  mkdirSync(PARTS, { recursive: true });
  const lock = join(PARTS, "installing");
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== "EEXIST") throw err;
    }
    let owner = 0;
    try {
      owner = Number(readFileSync(lock, "utf8"));
    } catch {
      continue; /* released between the two */
    }
    if (owner > 0) {
      try {
        process.kill(owner, 0);
      } catch {
        rmSync(lock, { force: true });
        continue; /* it died with the lock */
      }
    }
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

/** Whether a program runs here; what is not there is installed from its Debian package, once. */
export async function aptProgram(program: string, version: string, ...packages: string[]): Promise<boolean> {
  const works = async (): Promise<boolean> => {
    try {
      await promisify(execFile)(program, [version]);
      return true;
    } catch {
      return false;
    }
  };
  if (await works()) return true;
  return installing(async () => {
    if (await works()) return true;
    process.stderr.write(`installing ${packages.join(", ")} (some seconds)\n`);
    const apt = (...args: string[]): Promise<unknown> =>
      promisify(execFile)("apt-get", args, {
        maxBuffer: 1 << 24,
        env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      });
    const install = (): Promise<unknown> =>
      apt("install", "-y", "-q", "--no-install-recommends", ...packages);
    try {
      // Package lists may be missing or old.
      try {
        await install();
      } catch {
        await apt("update", "-q");
        await install();
      }
    } catch (err) {
      missing(program, (err as Error).message.slice(0, 300));
      return false;
    }
    if (await works()) return true;
    missing(program, "it does not run");
    return false;
  });
}

export interface S3Server {
  endpoint: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** objects as files: `<directory>/<bucket>/<key>` */
  directory: string;
  stop(): void;
  restart(): Promise<void>;
}

/** The S3 server, built once. */
export const versitygw = (): Promise<string | undefined> => goProgram("versitygw", "an S3 server", VERSITYGW);

/** A Go program at a version, built once; undefined where it cannot be. */
export async function goProgram(name: string, what: string, module: string): Promise<string | undefined> {
  const program = join(PARTS, name);
  if (existsSync(program)) return program;
  return installing(async () => {
    if (existsSync(program)) return program;
    process.stderr.write(`installing ${name}, ${what} (a minute or three)\n`);
    try {
      await promisify(execFile)("go", ["install", "-ldflags=-s -w", module], {
        env: { ...process.env, GOBIN: PARTS, CGO_ENABLED: "0", GOFLAGS: "-trimpath -modcacherw -p=2" },
        maxBuffer: 1 << 26,
      });
    } catch (err) {
      return missing(name, (err as Error).message.slice(0, 300));
    }
    return program;
  });
}

/** A Python program at a version, installed once in a place of its own; undefined where it cannot be. */
export async function pipProgram(
  program: string,
  requirement: string,
  ...more: string[]
): Promise<string | undefined> {
  const home = join(PARTS, [requirement, ...more].join("+").replaceAll("==", "-")),
    path = join(home, "bin", program);
  if (existsSync(path)) return path;
  return installing(async () => {
    if (existsSync(path)) return path;
    process.stderr.write(`installing ${requirement} (some seconds)\n`);
    try {
      await promisify(execFile)("python3", ["-m", "venv", home]);
      await promisify(execFile)(join(home, "bin/pip"), ["install", "-q", requirement, ...more], {
        maxBuffer: 1 << 26,
      });
    } catch (err) {
      rmSync(home, { recursive: true, force: true });
      return missing(program, (err as Error).message.slice(0, 300));
    }
    return path;
  });
}

/** The folder `node_modules` of an npm package at a version, installed once in a place of its own; undefined where it cannot be. */
export async function npmPackage(spec: string, what: string): Promise<string | undefined> {
  const home = join(PARTS, spec),
    modules = join(home, "node_modules"),
    whole = join(home, "installed");
  if (existsSync(whole)) return modules;
  return installing(async () => {
    if (existsSync(whole)) return modules;
    mkdirSync(home, { recursive: true });
    process.stderr.write(`installing ${spec}, ${what} (half a minute at most)\n`);
    try {
      await promisify(execFile)("npm", ["install", "--prefix", home, "--no-audit", "--no-fund", spec], {
        maxBuffer: 1 << 24,
      });
    } catch (err) {
      return missing(spec, (err as Error).message.slice(0, 300));
    }
    writeFileSync(whole, "");
    return modules;
  });
}

const healthy = async (port: number): Promise<boolean> => {
  try {
    return (await fetch(`http://127.0.0.1:${port}/health`)).ok;
  } catch {
    return false; /* not listening yet */
  }
};
function listens(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      done(true);
    });
    socket.once("error", () => done(false));
  });
}

/** A real S3 server in a process of its own, with the buckets named; `tls` names PEM files. */
export async function startS3Server(
  buckets: readonly string[],
  tls?: { cert: string; key: string },
): Promise<S3Server | undefined> {
  const program = await versitygw();
  if (program === undefined) return undefined;
  const directory = mkdtempSync(join(tmpdir(), "cinderblock-s3-"));
  for (const b of buckets) mkdirSync(join(directory, b));
  const identities = mkdtempSync(join(tmpdir(), "cinderblock-iam-"));
  const port = await freePort();
  let child: ChildProcess | undefined;
  const begin = async (): Promise<void> => {
    child = spawn(
      program,
      [
        "--port",
        `127.0.0.1:${port}`,
        "--quiet",
        "--health",
        "/health",
        "--iam-dir",
        identities,
        ...(tls ? ["--cert", tls.cert, "--key", tls.key] : []),
        "posix",
        directory,
      ],
      { env: { ...process.env, ROOT_ACCESS_KEY: "test", ROOT_SECRET_KEY: "testsecret" }, stdio: "ignore" },
    );
    for (let i = 0; i < 100; i++) {
      if (tls ? await listens(port) : await healthy(port)) return;
      await new Promise((r) => {
        setTimeout(r, 50);
      });
    }
    throw new Error("versitygw did not start");
  };
  await begin();
  return {
    endpoint: `127.0.0.1:${port}`,
    accessKeyId: "test",
    secretAccessKey: "testsecret",
    directory,
    stop: () => {
      child?.kill("SIGKILL");
    },
    restart: begin,
  };
}

export interface RedisServer {
  port: number;
  /** kills it, as a crash does; what it held is gone */
  kill(): Promise<void>;
  start(): Promise<void>;
  pause(): void;
  resume(): void;
}

/** A real Redis in a process of its own, without persistence; undefined where it cannot be installed. */
export async function startRedis(): Promise<RedisServer | undefined> {
  if (!(await aptProgram("redis-server", "--version", "redis-server"))) return undefined;
  const port = await freePort(),
    directory = mkdtempSync(join(tmpdir(), "cinderblock-redis-"));
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    child = spawn(
      "redis-server",
      ["--bind", "127.0.0.1", "--port", String(port), "--save", "", "--appendonly", "no", "--dir", directory],
      { stdio: "ignore" },
    );
    process.once("exit", () => child?.kill("SIGKILL"));
    for (let i = 0; i < 100; i++) {
      try {
        await promisify(execFile)("redis-cli", ["-p", String(port), "ping"]);
        return;
      } catch {
        /* not listening yet */
      }
      await new Promise((r) => {
        setTimeout(r, 50);
      });
    }
    throw new Error("redis-server did not start");
  };
  await start();
  return {
    port,
    start,
    kill: () =>
      new Promise((done) => {
        if (child!.exitCode !== null || child!.signalCode !== null) {
          done();
          return;
        }
        child!.once("exit", () => done());
        child!.kill("SIGKILL");
      }),
    pause: () => {
      child!.kill("SIGSTOP");
    },
    resume: () => {
      child!.kill("SIGCONT");
    },
  };
}
