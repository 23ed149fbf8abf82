import { runComponent } from "@cinderblock/runtime";
import { queryFrontend } from "./app.ts";

process.exit(await runComponent(queryFrontend, process.argv.slice(2), import.meta.url));
