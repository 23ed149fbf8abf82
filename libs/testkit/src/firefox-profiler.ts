import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { temporaryFolder } from "./folders.ts";
import { part } from "./parts/declare.ts";

interface Call {
  name: string;
  selfSamples: number;
  totalSamples: number;
  children: Call[];
}

/** Attempts to load a file: the program gives its own daemon half a second, which a busy machine exceeds. */
const LOADS = 10;

async function load(ask: (...args: string[]) => Promise<string>, file: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await ask("load", file);
      return;
    } catch (err) {
      if (tries === LOADS || !/daemon did not become ready/.test((err as Error).message)) throw err;
      await sleep(500);
    }
  }
}

/**
 * Content of a file's first thread as the Firefox Profiler shows it: each stack (its frames joined by NUL)
 * with its self value, and the total.
 */
export async function firefoxProfiler(
  file: string,
): Promise<{ weightType: string; sum: number; stacks: Map<string, number> }> {
  const modules = part("firefox-profiler");
  const env = { ...process.env, PROFILER_CLI_SESSION_DIR: temporaryFolder() };
  const ask = async (...args: string[]): Promise<string> =>
    (
      await promisify(execFile)(
        process.execPath,
        [join(modules, "@firefox-devtools/profiler-cli/dist/profiler-cli.js"), ...args],
        { env, maxBuffer: 1 << 26 },
      )
    ).stdout;
  try {
    await load(ask, file);
    const { weightType, regularCallTree: root } = JSON.parse(
      await ask("thread", "samples-top-down", "--json", "--include-idle", "--max-lines=1000000"),
    ) as { weightType: string; regularCallTree: Call };
    const stacks = new Map<string, number>();
    const walk = (c: Call, path: readonly string[]): void => {
      if (c.selfSamples !== 0) stacks.set(path.join("\u0000"), c.selfSamples);
      for (const child of c.children) walk(child, [...path, child.name]);
    };
    walk(root, []);
    return { weightType, sum: root.totalSamples, stacks };
  } finally {
    await ask("stop", "--all");
  }
}
