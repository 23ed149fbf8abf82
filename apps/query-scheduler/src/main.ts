import { runComponent } from "@cinderblock/runtime";
import { queryScheduler } from "./app.ts";

process.exit(await runComponent(queryScheduler, process.argv.slice(2), import.meta.url));
