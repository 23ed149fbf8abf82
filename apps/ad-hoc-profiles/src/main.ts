import { runComponent } from "@cinderblock/runtime";
import { adHocProfiles } from "./app.ts";

process.exit(await runComponent(adHocProfiles, process.argv.slice(2), import.meta.url));
