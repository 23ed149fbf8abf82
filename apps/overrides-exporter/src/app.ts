import { type Component, commonSchema } from "@cinderblock/runtime";
import { exportLimits } from "./exporter.ts";

/** Exports the tenants' limits as metrics. */
export const overridesExporter: Component<typeof commonSchema> = {
  name: "overrides-exporter",
  schema: commonSchema,
  wire(_config, host) {
    exportLimits(host.resources.overrides, host.base);
  },
};
