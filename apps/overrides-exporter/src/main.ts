import { runComponent } from "@cinderblock/runtime";
import { overridesExporter } from "./app.ts";

process.exit(await runComponent(overridesExporter, process.argv.slice(2), import.meta.url));
