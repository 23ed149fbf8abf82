import { runComponent } from "@cinderblock/runtime";
import { distributor } from "./app.ts";

process.exit(await runComponent(distributor, process.argv.slice(2), import.meta.url));
