import type { ChildProcess } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startProcess } from "./at-end.ts";
import { temporaryFolder } from "./folders.ts";
import { part } from "./parts/declare.ts";
import { answersOk, freePort, listens } from "./ports.ts";

/** A running S3 server with its credentials; `endpoint` is a URL. */
export interface S3Server {
  endpoint: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** objects as files: `<directory>/<bucket>/<key>` */
  directory: string;
  stop(): void;
  restart(): Promise<void>;
}

/** Starts a real S3 server in a separate process, with these buckets; `tls` names PEM files. */
export async function startS3Server(
  buckets: readonly string[],
  tls?: { cert: string; key: string },
): Promise<S3Server> {
  const program = part("s3"),
    directory = temporaryFolder(),
    identities = temporaryFolder(),
    port = await freePort();
  for (const b of buckets) mkdirSync(join(directory, b));
  let child: ChildProcess | undefined;
  const begin = async (): Promise<void> => {
    child = startProcess(
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
    for (let i = 0; i < 200; i++) {
      if (child.exitCode !== null) throw new Error(`versitygw ended with ${child.exitCode}`);
      if (tls ? await listens(port) : await answersOk(`http://127.0.0.1:${port}/health`)) return;
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
