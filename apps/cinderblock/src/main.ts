import { buildInfo, run, workerScripts } from "@cinderblock/runtime";
import { cinderblock } from "./app.ts";

process.exit(await run(cinderblock, process.argv.slice(2), workerScripts(import.meta.url), buildInfo()));
