import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build, type BuildOptions, type Metafile, type Plugin } from "esbuild";
import { kafkajsParts } from "./kafkajs-parts.ts";

/** Entry points: the script's name in the bundle -> the source file. */
export type Entries = Record<string, string>;

/**
 * The scripts of worker threads, which programs load from their own folder, and the folder whose code starts
 * each.
 */
const WORKERS: readonly { script: string; source: string; startedBy: string }[] = [
  { script: "ingest-worker", source: "apps/ingester/src/ingest-worker.ts", startedBy: "apps/ingester/" },
  { script: "query-worker", source: "libs/query-worker/src/worker.ts", startedBy: "libs/query-worker/" },
  { script: "compact-worker", source: "apps/compactor/src/compact-worker.ts", startedBy: "apps/compactor/" },
  {
    script: "validate-worker",
    source: "apps/distributor/src/validate-worker.ts",
    startedBy: "apps/distributor/",
  },
  {
    script: "debug-files-worker",
    source: "libs/symbolizer/src/reader-worker.ts",
    startedBy: "libs/symbolizer/",
  },
];

/** Whether code of this folder is part of a bundle. */
export function carries(bundle: Metafile, folder: string): boolean {
  return Object.keys(bundle.inputs).some((f) => f.startsWith(folder));
}

/**
 * Programs that start for one command and end. In one bundle with the servers they would load every module of
 * a library that a server uses, Kafka's client too: 4 MB instead of 1.9 MB, and twice the CPU of a start.
 */
const SHORT_PROGRAMS: readonly string[] = ["cli"];

/** Lets the bundler drop modules of this repository whose exports are unused: none acts when it is loaded. */
const unusedModules: Plugin = {
  name: "unused-modules",
  setup(b) {
    const resolving = Symbol("resolving");
    b.onResolve(
      { filter: /^(@cinderblock\/|\.)/ },
      async ({ path, kind, importer, resolveDir, pluginData }) => {
        if (pluginData === resolving || /[\\/]node_modules[\\/]/.test(importer)) return undefined;
        const module = await b.resolve(path, { kind, importer, resolveDir, pluginData: resolving });
        return { ...module, sideEffects: false };
      },
    );
  },
};

/**
 * Bundles the entries and the worker threads that they start into `out`. Returns esbuild's description of the
 * bundle.
 */
export async function bundle(
  root: string,
  out: string,
  entries: Entries,
  info: { version: string; revision: string },
): Promise<Metafile> {
  const options = {
    absWorkingDir: root,
    plugins: [kafkajsParts(root)],
    outdir: out,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    sourcemap: true,
    // Code that only some configurations need (a vendor's bucket client) is a separate chunk, loaded on
    // demand. Every thread keeps the source of its bundle in memory, and whitespace is a third of that
    // source.
    splitting: true,
    chunkNames: "chunks/[name]-[hash]",
    minifyWhitespace: true,
    legalComments: "none",
    logLevel: "warning",
    define: { CINDERBLOCK_BUILD: JSON.stringify(info) },
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
    },
  } satisfies BuildOptions;

  // A first pass finds the workers that the programs start; the single binary starts all of them.
  const workers =
    "main" in entries
      ? WORKERS
      : await build({
          ...options,
          entryPoints: entries,
          sourcemap: false,
          write: false,
          metafile: true,
        }).then((programs) => WORKERS.filter((w) => carries(programs.metafile, w.startedBy)));
  rmSync(out, { recursive: true, force: true });
  const servers = Object.entries(entries).filter(([name]) => !SHORT_PROGRAMS.includes(name)),
    others = Object.entries(entries).filter(([name]) => SHORT_PROGRAMS.includes(name));
  const parts = [
    {
      plugins: options.plugins,
      entryPoints: {
        ...Object.fromEntries(servers),
        ...Object.fromEntries(workers.map((w) => [w.script, w.source])),
      },
    },
    ...others.map(([name, source]) => ({
      plugins: [...options.plugins, unusedModules],
      entryPoints: { [name]: source },
      sourcesContent: false, // the texts stand in the servers' maps
    })),
  ];
  const metafile: Metafile = { inputs: {}, outputs: {} };
  for (const part of parts) {
    if (Object.keys(part.entryPoints).length === 0) continue;
    const made = await build({ ...options, ...part, metafile: true });
    Object.assign(metafile.inputs, made.metafile.inputs);
    Object.assign(metafile.outputs, made.metafile.outputs);
  }
  if (carries(metafile, "libs/arrow/")) {
    // The chunk that makes Parquet files (libs/arrow) loads this file from its folder.
    mkdirSync(join(out, "chunks"), { recursive: true });
    copyFileSync(
      join(root, "node_modules/parquet-wasm/esm/parquet_wasm_bg.wasm"),
      join(out, "chunks/parquet.wasm"),
    );
  }
  return metafile;
}
