import { runComponent } from "@cinderblock/runtime";
import { ingester } from "./app.ts";

process.exit(await runComponent(ingester, process.argv.slice(2), import.meta.url));
