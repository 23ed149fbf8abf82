import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { TestEnvironment } from "jest-environment-node";
import { childrenOf, type Process, stopProcesses } from "./test/processes.ts";

type Stop = () => unknown;
const AT_END = Symbol.for("cinderblock.at-end");
const ROOT = join(import.meta.dirname, "..");

/**
 * Environment of a test file: a temporary folder of its own, the root of the checkout as working folder, and an end that
 * stops whatever the file started (`atEnd` of testkit), the newest first. A process or a file that is left then fails the
 * test file by name.
 */
export default class Environment extends TestEnvironment {
  private readonly suite: string;
  private readonly outer = process.env.TMPDIR;
  private folder = "";

  constructor(...args: ConstructorParameters<typeof TestEnvironment>) {
    super(...args);
    this.suite = args[1].testPath;
  }

  override async setup(): Promise<void> {
    await super.setup();
    process.chdir(ROOT);
    this.folder = mkdtempSync(join(tmpdir(), `${basename(this.suite).replace(/\..*$/, "")}-`));
    // Core modules read the variables of the worker, tests those of their own realm. A program that asks Node for its
    // cache of compiled code would leave that in the temporary folder.
    for (const env of [process.env, this.global.process.env])
      Object.assign(env, { TMPDIR: this.folder, NODE_DISABLE_COMPILE_CACHE: "1" });
  }

  override async teardown(): Promise<void> {
    const stops = (this.global as { [AT_END]?: Stop[] })[AT_END] ?? [],
      failures: string[] = [];
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
    if (this.folder !== "") {
      const files = readdirSync(this.folder);
      if (files.length > 0) failures.push(`left files in the temporary folder: ${files.join(", ")}`);
      rmSync(this.folder, { recursive: true, force: true });
    }
    if (this.outer === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = this.outer;
    await super.teardown();
    if (failures.length > 0) throw new Error(`${this.suite} ${failures.join("; ")}`);
  }

  /** Children of this worker that the suite left. A process that was killed may take a moment to go. */
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
