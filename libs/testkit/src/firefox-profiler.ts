import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { temporaryFolder } from "./folders.ts";
import { part } from "./parts/declare.ts";

interface Call {
  name: string;
  selfSamples: number;
  totalSamples: number;
  children: Call[];
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
  await ask("load", file);
  try {
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
