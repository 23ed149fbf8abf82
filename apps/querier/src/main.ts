import { runComponent } from "@cinderblock/runtime";
import { querier } from "./app.ts";

process.exit(await runComponent(querier, process.argv.slice(2), import.meta.url));
