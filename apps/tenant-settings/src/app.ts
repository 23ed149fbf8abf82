import { type Component, commonSchema } from "@cinderblock/runtime";
import { settingsRpc } from "./rpc.ts";
import { TenantSettings } from "./settings.ts";

/** Stores a UI's settings for each tenant. */
export const tenantSettings: Component<typeof commonSchema> = {
  name: "tenant-settings",
  schema: commonSchema,
  async wire(config, host) {
    host.addRoutes(
      settingsRpc(new TenantSettings(await host.resources.bucket(), host.base.now), config.multitenancy),
    );
  },
};
