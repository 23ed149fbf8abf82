// Bundles the single binary, the components and their worker threads into dist/. --if-stale: only when a source is newer.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const out = join(root, "dist", "cinderblock");

function newest(dir) {
  let t = 0;
  for (const e of readdirSync(dir, { withFileTypes: true })) {
    if (e.name === "node_modules" || e.name === "dist") continue;
    const path = join(dir, e.name);
    t = Math.max(t, e.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }
  return t;
}

const main = join(out, "main.mjs");
if (process.argv.includes("--if-stale") && existsSync(main) && statSync(main).mtimeMs > Math.max(newest(join(root, "apps")), newest(join(root, "libs")))) process.exit(0);

let revision = "unknown";
try { revision = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, stdio: ["ignore", "pipe", "ignore"] }).toString().trim(); } catch { /* a tarball has no revision */ }
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

const components = readdirSync(join(root, "apps")).filter((a) => a !== "cinderblock" && existsSync(join(root, "apps", a, "src/main.ts")));
const started = performance.now();
rmSync(out, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: {
    main: "apps/cinderblock/src/main.ts",
    ...Object.fromEntries(components.map((c) => [c, `apps/${c}/src/main.ts`])),
    "ingest-worker": "apps/ingester/src/ingest-worker.ts",
    "query-worker": "libs/query-worker/src/worker.ts",
    "compact-worker": "apps/compactor/src/compact-worker.ts",
    "validate-worker": "apps/distributor/src/validate-worker.ts",
  },
  outdir: out, outExtension: { ".js": ".mjs" }, bundle: true, platform: "node", target: "node24", format: "esm", sourcemap: true,
  // What only some configurations need (a vendor's bucket client) is a chunk of its own, loaded by those. The source of a
  // bundle stays in memory in every thread that runs it: without blanks it is two thirds.
  splitting: true, chunkNames: "chunks/[name]-[hash]", minifyWhitespace: true, legalComments: "none", logLevel: "warning",
  define: { CINDERBLOCK_BUILD: JSON.stringify({ version, revision }) },
  banner: { js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);' },
});
console.log(`built dist/cinderblock (${version}, ${revision}) in ${Math.round(performance.now() - started)} ms`);
