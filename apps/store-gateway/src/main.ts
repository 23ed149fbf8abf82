import { runComponent } from "@cinderblock/runtime";
import { storeGateway } from "./app.ts";

process.exit(await runComponent(storeGateway, process.argv.slice(2), import.meta.url));
