import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { startProcess } from "./at-end.ts";
import { temporaryFolder } from "./folders.ts";
import { part } from "./parts/declare.ts";
import { freePort } from "./ports.ts";

/** A running Prometheus. */
export interface PrometheusServer {
  url: string;
  stop(): void;
}

/** Runs promtool. @returns its output; rejects when promtool reports a problem */
export async function promtool(...args: string[]): Promise<string> {
  part("prometheus");
  try {
    const r = await promisify(execFile)("promtool", args, { maxBuffer: 1 << 24 });
    return r.stdout + r.stderr;
  } catch (err) {
    const e = err as { stdout?: string; stderr?: string };
    throw new Error(`${e.stdout ?? ""}${e.stderr ?? (err as Error).message}`, { cause: err });
  }
}

/** Starts a real Prometheus that scrapes targets every second and evaluates rules. */
export async function startPrometheus(
  targets: readonly string[],
  rules: readonly string[],
): Promise<PrometheusServer> {
  const program = part("prometheus"),
    directory = temporaryFolder(),
    port = await freePort();
  writeFileSync(
    join(directory, "prometheus.yml"),
    JSON.stringify({
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      rule_files: rules,
      scrape_configs: [{ job_name: "cinderblock", static_configs: [{ targets }] }],
    }),
  );
  const child = startProcess(
    program,
    [
      `--config.file=${join(directory, "prometheus.yml")}`,
      `--storage.tsdb.path=${join(directory, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--log.level=error",
    ],
    { stdio: "ignore" },
  );
  const url = `http://127.0.0.1:${port}`;
  for (let i = 0; i < 200; i++) {
    try {
      if ((await fetch(`${url}/-/ready`)).ok)
        return {
          url,
          stop: () => {
            child.kill("SIGKILL");
          },
        };
    } catch {
      /* not listening yet */
    }
    await new Promise((r) => {
      setTimeout(r, 50);
    });
  }
  throw new Error("Prometheus did not start");
}
