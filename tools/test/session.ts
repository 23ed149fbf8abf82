import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { cpuSeconds } from "./processes.ts";
import { NODE, ROOT } from "./root.ts";
import { killRunningSteps, type Outcome, runStep, type StepOptions } from "./step.ts";
import { conclude, fail, none, type Totals } from "./totals.ts";

/** Changed files of the checkout by Git; undefined without Git or a repository. */
function changes(): string | undefined {
  const r = spawnSync("git", ["status", "--porcelain"], { cwd: ROOT, encoding: "utf8" });
  return r.status === 0 ? r.stdout : undefined;
}

/**
 * One run of a test command: a temporary folder for all its processes, which the run removes, an end that no
 * suite can delay, and a verdict. A run that leaves a process, a file or a change in the checkout fails.
 */
export class Session {
  readonly folder = mkdtempSync(join(tmpdir(), "cinderblock-test-"));
  readonly totals: Totals = none();
  readonly env: Readonly<Record<string, string | undefined>>;
  private readonly started = performance.now();
  private readonly before = changes();

  /** @param env more environment variables; gets the temporary folder */
  constructor(deadlineMs: number, env: (folder: string) => Record<string, string> = () => ({})) {
    this.env = {
      ...process.env,
      PATH: `${dirname(NODE)}${delimiter}${process.env.PATH}`,
      TMPDIR: this.folder,
      NX_DAEMON: "false",
      NX_TUI: "false",
      FORCE_COLOR: "0",
      NODE_DISABLE_COMPILE_CACHE: "1",
      ...env(this.folder),
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.once(signal, () => this.abort(`stopped by ${signal}`));
    process.once("uncaughtException", (err) => this.abort(`the runner failed: ${err.stack ?? err.message}`));
    setTimeout(() => this.abort(`no end after ${deadlineMs / 1000} s`), deadlineMs).unref();
  }

  private abort(why: string): never {
    killRunningSteps();
    fail(this.totals, why);
    this.remove();
    conclude(this.totals);
    process.exit(1);
  }

  private remove(): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  run(options: Omit<StepOptions, "cwd" | "env"> & { env?: Record<string, string> }): Promise<Outcome> {
    return runStep({ cwd: ROOT, ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs a check that counts as one test; on failure, shows its output. */
  async check(
    name: string,
    command: readonly string[],
    env: Record<string, string> = {},
    deadlineMs = 300_000,
  ): Promise<boolean> {
    const r = await this.run({ name, command, env, deadlineMs });
    console.log(`${r.ok ? "ok  " : "FAIL"} ${name} (${r.seconds.toFixed(1)} s)`);
    if (r.ok) this.totals.passed++;
    else {
      if (r.output !== "") console.log(r.output);
      fail(this.totals, r.reason === undefined ? name : `${name}: ${r.reason}`);
    }
    return r.ok;
  }

  /** Seconds since the run began. */
  get seconds(): number {
    return (performance.now() - this.started) / 1000;
  }

  /** Ends the run with its verdict. */
  finish(): never {
    const after = changes();
    if (this.before !== undefined && after !== this.before) {
      const before = new Set(this.before.split("\n")),
        changed = (after ?? "").split("\n").filter((l) => !before.has(l));
      // Outside CI, a developer may change the checkout meanwhile.
      if (process.env.CI === "true") fail(this.totals, `the checkout changed: ${changed.join(", ")}`);
      else console.log(`NOTE: the checkout changed during the run: ${changed.join(", ")}`);
    }
    this.remove();
    console.log(`\n${this.seconds.toFixed(0)} s, ${cpuSeconds().toFixed(0)} s of CPU`);
    conclude(this.totals);
    process.exit(this.totals.failed === 0 ? 0 : 1);
  }
}
