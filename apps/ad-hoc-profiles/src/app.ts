import { type Component, commonSchema } from "@cinderblock/runtime";
import { DebugFiles, inThread } from "@cinderblock/symbolizer";
import { debugFilesApi } from "./debug-files-api.ts";
import { AdHocFiles } from "./files.ts";
import { adHocRpc } from "./rpc.ts";

/** What people bring: single files of profiles that they look at, and debug files that name native frames. */
export const adHocProfiles: Component<typeof commonSchema> = {
  name: "ad-hoc-profiles",
  schema: commonSchema,
  async wire(config, process) {
    const { resources, base } = process, bucket = await resources.bucket(), { symbols } = resources;
    process.serve(adHocRpc(new AdHocFiles(bucket, process.addPool(), resources.limits, base.now), config.multitenancy), debugFilesApi(symbols && new DebugFiles(bucket, symbols.config.maxFileBytes, inThread(symbols.config.script)), config.multitenancy));
  },
};
