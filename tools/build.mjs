// Bundles the single binary, the components and their worker threads into dist/. --if-stale: only when a source is newer.
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { build as buildWeb } from "vite";
import { billOfMaterials, notices, packagesOf } from "./third-party.mjs";

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
if (
  process.argv.includes("--if-stale") &&
  existsSync(main) &&
  statSync(main).mtimeMs > Math.max(newest(join(root, "apps")), newest(join(root, "libs")))
)
  process.exit(0);

let revision = "unknown";
try {
  revision = execFileSync("git", ["rev-parse", "--short", "HEAD"], {
    cwd: root,
    stdio: ["ignore", "pipe", "ignore"],
  })
    .toString()
    .trim();
} catch {
  /* a tarball has no revision */
}
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

const components = readdirSync(join(root, "apps")).filter(
  (a) => a !== "cinderblock" && existsSync(join(root, "apps", a, "src/main.ts")),
);
const started = performance.now();
rmSync(out, { recursive: true, force: true });
/**
 * Five parts of kafkajs, replaced. A distributor spent half of its time in two: the checksum takes eight bytes at a time
 * instead of one (libs/bytes), and requests are not copied at each of seven levels (libs/kafka/src/parts-encoder.ts). The
 * third woke every connection a thousand times a second (libs/kafka/src/quiet-queue.ts), the fourth copied each answer once
 * more (libs/kafka/src/frame-socket.ts), the fifth joined a batch's records twice more (libs/kafka/src/record-batch.ts).
 */
const fasterKafkajs = {
  name: "kafkajs-hot-parts",
  setup(b) {
    const within = (args) => /kafkajs.src/.test(args.importer);
    const parts = {
      crc32c: [/\/crc32C$/, 'require("@cinderblock/bytes").crc32c'],
      encoder: [
        /\/encoder$/,
        'require("./libs/kafka/src/parts-encoder.ts").partsEncoder(require("kafkajs/src/protocol/encoder.js"))',
      ],
      batch: [
        /\/recordBatch\/v0$/,
        'require("./libs/kafka/src/record-batch.ts").partsBatch(require("kafkajs/src/protocol/recordBatch/v0/index.js"), require("./libs/kafka/src/parts-encoder.ts").partsEncoder(require("kafkajs/src/protocol/encoder.js")))',
      ],
      queue: [
        /\/requestQueue$/,
        'require("./libs/kafka/src/quiet-queue.ts").quietQueue(require("kafkajs/src/network/requestQueue/index.js"))',
      ],
      connection: [
        /\/connection$/,
        'require("./libs/kafka/src/frame-socket.ts").frameConnection(require("kafkajs/src/network/connection.js"))',
      ],
    };
    const replaced = new Set();
    for (const [path, [filter]] of Object.entries(parts))
      b.onResolve({ filter }, (args) => (within(args) ? { path, namespace: "ours" } : undefined));
    b.onLoad({ filter: /./, namespace: "ours" }, ({ path }) => {
      replaced.add(path);
      return { contents: `module.exports = ${parts[path][1]};`, resolveDir: root };
    });
    // A kafkajs that has its parts elsewhere would go on unchanged, and nobody would see it but in its cost.
    b.onEnd(() => ({
      errors: Object.keys(parts)
        .filter((p) => !replaced.has(p))
        .map((p) => ({
          text: `kafkajs's ${p} was not found, so that it is not replaced: its release has changed`,
        })),
    }));
  },
};
const { metafile } = await build({
  plugins: [fasterKafkajs],
  metafile: true,
  absWorkingDir: root,
  entryPoints: {
    main: "apps/cinderblock/src/main.ts",
    ...Object.fromEntries(components.map((c) => [c, `apps/${c}/src/main.ts`])),
    "ingest-worker": "apps/ingester/src/ingest-worker.ts",
    "query-worker": "libs/query-worker/src/worker.ts",
    "compact-worker": "apps/compactor/src/compact-worker.ts",
    "validate-worker": "apps/distributor/src/validate-worker.ts",
    "debug-files-worker": "libs/symbolizer/src/reader-worker.ts",
  },
  outdir: out,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  sourcemap: true,
  // What only some configurations need (a vendor's bucket client) is a chunk of its own, loaded by those. The source of a
  // bundle stays in memory in every thread that runs it: without blanks it is two thirds.
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  minifyWhitespace: true,
  legalComments: "none",
  logLevel: "warning",
  define: { CINDERBLOCK_BUILD: JSON.stringify({ version, revision }) },
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
});

// Beside the chunk that makes Parquet files (libs/arrow).
copyFileSync(
  join(root, "node_modules/parquet-wasm/esm/parquet_wasm_bg.wasm"),
  join(out, "chunks/parquet.wasm"),
);

// The web UI: hashed files, each beside its compressed form; a first screen that grows too heavy fails the build.
const web = await buildWeb({
  root: join(root, "apps/web"),
  configFile: join(root, "apps/web/vite.config.ts"),
  logLevel: "warn",
  build: { outDir: join(out, "web") },
});
const sizes = { js: 0, css: 0 };
for (const file of readdirSync(join(out, "web/assets"))) {
  const packed = gzipSync(readFileSync(join(out, "web/assets", file)), { level: 9 });
  writeFileSync(join(out, "web/assets", `${file}.gz`), packed);
  sizes[file.endsWith(".css") ? "css" : "js"] += packed.length;
}
const BUDGET = { js: 220_000, css: 15_000 };
for (const kind of ["js", "css"])
  if (sizes[kind] > BUDGET[kind])
    throw new Error(`the web UI's ${kind} is ${sizes[kind]} bytes compressed; the budget is ${BUDGET[kind]}`);
console.log(
  `built dist/cinderblock/web: ${Math.round(sizes.js / 1000)} kB of scripts, ${Math.round(sizes.css / 1000)} kB of styles, compressed`,
);

// What the bundles carry of others, for people and for scanners: goes with the program wherever it goes.
const carried = packagesOf([
  ...Object.keys(metafile.inputs).map((f) => join(root, f)),
  ...[web].flat().flatMap((r) => r.output.flatMap((o) => o.moduleIds ?? [])),
]);
writeFileSync(join(out, "THIRD-PARTY-LICENSES.txt"), notices(carried));
writeFileSync(join(out, "sbom.cdx.json"), billOfMaterials("cinderblock", version, carried));
console.log(
  `built dist/cinderblock (${version}, ${revision}) in ${Math.round(performance.now() - started)} ms`,
);
