import { runComponent } from "@cinderblock/runtime";
import { tenantSettings } from "./app.ts";

process.exit(await runComponent(tenantSettings, process.argv.slice(2), import.meta.url));
