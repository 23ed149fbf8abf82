import { buildInfo, run, scriptsBeside } from "@cinderblock/runtime";
import { cinderblock } from "./app.ts";

process.exit(await run(cinderblock, process.argv.slice(2), scriptsBeside(import.meta.url), buildInfo()));
