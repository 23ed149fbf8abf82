import { runComponent } from "@cinderblock/runtime";
import { compactor } from "./app.ts";

process.exit(await runComponent(compactor, process.argv.slice(2), import.meta.url));
