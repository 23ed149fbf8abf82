import { appendFileSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { TestEnvironment } from "jest-environment-node";
import { childrenOf, cpuSeconds, type Process, stopProcesses } from "./test/processes.ts";
import { CODE_CACHE } from "./test/root.ts";

type Stop = () => unknown;
const AT_END = Symbol.for("cinderblock.at-end");
const ROOT = join(import.meta.dirname, "..");

/**
 * Environment of a test file: a separate temporary folder, the root of the checkout as working folder, and a
 * cleanup that stops everything that the file started (`atEnd` of testkit), in reverse order. A process or a
 * file that remains after the cleanup fails the test file by name.
 */
export default class Environment extends TestEnvironment {
  private readonly suite: string;
  private readonly root: string;
  private readonly outer = process.env.TMPDIR;
  private folder = "";
  private cpu = 0;
  private readonly failures: string[] = [];

  constructor(...args: ConstructorParameters<typeof TestEnvironment>) {
    super(...args);
    this.suite = args[1].testPath;
    this.root = args[0].projectConfig.rootDir;
  }

  override async setup(): Promise<void> {
    await super.setup();
    this.cpu = cpuSeconds();
    process.chdir(ROOT);
    this.folder = mkdtempSync(join(tmpdir(), `${basename(this.suite).replace(/\..*$/, "")}-`));
    // Core modules read the worker's environment variables, tests those of their own realm. Without a folder
    // for Node's compile cache, a program that enables the cache would leave it in the temporary folder. Nx
    // and CI force colors, which tests would find in the output of programs.
    for (const env of [process.env, this.global.process.env]) {
      delete env.NODE_DISABLE_COMPILE_CACHE;
      Object.assign(env, { TMPDIR: this.folder, NODE_COMPILE_CACHE: CODE_CACHE, FORCE_COLOR: "0" });
    }
  }

  /** Runs the cleanup when the tests' results are known, so that a failure here hides no test failure. */
  async handleTestEvent(event: { name: string }, state: { unhandledErrors: unknown[] }): Promise<void> {
    if (event.name !== "run_finish") return;
    await this.end();
    state.unhandledErrors.push(...this.failures.splice(0).map((f) => new Error(f)));
  }

  override async teardown(): Promise<void> {
    await this.end(); // a file that fails to load has no run_finish event
    const { CINDERBLOCK_COUNTS: counts } = process.env;
    if (counts !== undefined) {
      const line = { cpu: cpuSeconds() - this.cpu, of: relative(this.root, this.suite) };
      appendFileSync(counts, `${JSON.stringify(line)}\n`);
    }
    await super.teardown();
    if (this.failures.length > 0) throw new Error(`${this.suite} ${this.failures.join("; ")}`);
  }

  /** Stops everything that the suite started, and finds leftover processes and files. */
  private async end(): Promise<void> {
    if (this.folder === "") return;
    const stops = (this.global as { [AT_END]?: Stop[] })[AT_END] ?? [],
      { failures } = this;
    for (const stop of stops.splice(0).reverse()) {
      try {
        await stop();
      } catch (err) {
        failures.push(`could not stop what the suite started: ${(err as Error).message}`);
      }
    }
    const left = await this.leftProcesses();
    if (left.length > 0)
      failures.push(`left processes: ${left.map((p) => `${p.pid} ${p.command}`).join(", ")}`);
    const files = readdirSync(this.folder);
    if (files.length > 0) failures.push(`left files in the temporary folder: ${files.join(", ")}`);
    rmSync(this.folder, { recursive: true, force: true });
    this.folder = "";
    if (this.outer === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = this.outer;
  }

  /** Leftover child processes of this worker. A killed process may need a moment to end. */
  private async leftProcesses(): Promise<Process[]> {
    for (let i = 0; ; i++) {
      const left = childrenOf(process.pid).filter((p) => !p.command.includes("esbuild --service"));
      if (left.length === 0) return [];
      if (i === 20) {
        stopProcesses(left);
        return left;
      }
      await new Promise((r) => {
        setTimeout(r, 50);
      });
    }
  }
}
