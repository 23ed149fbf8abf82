import { type ConfigOf, str } from "@cinderblock/config";
import { compactor } from "@cinderblock/compactor";
import { distributor } from "@cinderblock/distributor";
import { ingester } from "@cinderblock/ingester";
import { adHocProfiles } from "@cinderblock/ad-hoc-profiles";
import { tenantSettings } from "@cinderblock/tenant-settings";
import { overridesExporter } from "@cinderblock/overrides-exporter";
import { querier } from "@cinderblock/querier";
import { queryFrontend } from "@cinderblock/query-frontend";
import { queryScheduler } from "@cinderblock/query-scheduler";
import { storeGateway } from "@cinderblock/store-gateway";

/** The components of this program, in the order of their start. */
export const components = [
  storeGateway,
  ingester,
  distributor,
  queryScheduler,
  querier,
  queryFrontend,
  compactor,
  overridesExporter,
  tenantSettings,
  adHocProfiles,
] as const;

/**
 * The schema of all components: source of flags, YAML keys, defaults, help and
 * docs/reference/configuration.md.
 */
export const schema = {
  target: str("target", undefined, "all", "Components to run, separated by commas."),
  ...distributor.schema,
  ...ingester.schema,
  ...queryFrontend.schema,
  ...queryScheduler.schema,
  ...querier.schema,
  ...storeGateway.schema,
  ...compactor.schema,
};

export type CinderblockConfig = ConfigOf<typeof schema>;
