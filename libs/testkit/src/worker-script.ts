import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { temporaryFolder } from "./folders.ts";

/** Root folder of the workspace. */
function workspace(): string {
  let at = process.cwd();
  while (!existsSync(join(at, "nx.json"))) at = dirname(at);
  return at;
}

/**
 * Bundles a worker thread's entry point as a separate program, so that unit tests run the same thread code as
 * production.
 */
export function bundledWorker(entry: string): URL {
  const root = workspace(),
    out = join(temporaryFolder(), "worker.mjs");
  execFileSync(join(root, "node_modules/.bin/esbuild"), [
    join(root, entry),
    "--bundle",
    "--platform=node",
    "--format=esm",
    "--log-level=warning",
    `--outfile=${out}`,
    '--banner:js=import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  ]);
  return pathToFileURL(out);
}
