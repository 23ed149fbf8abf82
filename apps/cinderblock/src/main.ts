import { run } from "./run.ts";

declare const CINDERBLOCK_BUILD: { version: string; revision: string };

const scripts = { ingest: new URL("./ingest-worker.mjs", import.meta.url), query: new URL("./query-worker.mjs", import.meta.url), compact: new URL("./compact-worker.mjs", import.meta.url) };
process.exit(await run(process.argv.slice(2), scripts, CINDERBLOCK_BUILD));
