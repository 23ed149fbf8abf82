import { type Component, commonSchema } from "@cinderblock/runtime";
import { debugFilesApi } from "./debug-files-api.ts";
import { AdHocFiles } from "./files.ts";
import { adHocRpc } from "./rpc.ts";

/** Stores files that users upload: single profiles to view, and debug files that name native frames. */
export const adHocProfiles: Component<typeof commonSchema> = {
  name: "ad-hoc-profiles",
  schema: commonSchema,
  async wire(config, host) {
    const { resources, base } = host,
      bucket = await resources.bucket();
    host.addRoutes(
      adHocRpc(new AdHocFiles(bucket, host.addPool(), resources.limits, base.now), config.multitenancy),
      debugFilesApi(resources.symbols, bucket, config.multitenancy, base),
    );
  },
};
