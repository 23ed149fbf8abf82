// npm run sync: the imports of each project become declarations in package.json and references in
// tsconfig.json.
import { spawnSync } from "node:child_process";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

const root = join(import.meta.dirname, "..");

/** Runs a program of node_modules/.bin without the Nx daemon, which would keep running. */
function run(command: string, ...args: string[]): void {
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      NX_DAEMON: "false",
      PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}`,
    },
  });
  if (status !== 0) process.exit(1);
}

run("node", "tools/declare-imports.ts");
run("nx", "sync");
// Nx puts new references first; with sorting, a new import changes only one line.
const configs = globSync("{.,{apps,libs}/*,tools,e2e}/tsconfig*.json", { cwd: root });
for (const config of configs) {
  const path = join(root, config);
  const { references, ...rest } = JSON.parse(readFileSync(path, "utf8")) as {
    references?: { path: string }[];
  };
  if (references === undefined) continue;
  references.sort((a, b) => (a.path < b.path ? -1 : 1));
  writeFileSync(path, JSON.stringify({ ...rest, references }));
}
run(
  "biome",
  "format",
  "--write",
  "--log-level=warn",
  ...configs,
  ...globSync("{{apps,libs}/*,tools,e2e}/package.json", { cwd: root }),
);
