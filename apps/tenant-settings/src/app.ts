import { type Component, commonSchema } from "@cinderblock/runtime";
import { settingsRpc } from "./rpc.ts";
import { TenantSettings } from "./settings.ts";

/** Stores a UI's settings for each tenant. */
export const tenantSettings: Component<typeof commonSchema> = {
  name: "tenant-settings",
  schema: commonSchema,
  async wire(config, process) {
    process.serve(
      settingsRpc(
        new TenantSettings(await process.resources.bucket(), process.base.now),
        config.multitenancy,
      ),
    );
  },
};
