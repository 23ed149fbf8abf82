import { type Component, commonSchema } from "@cinderblock/runtime";
import { AdHocFiles } from "./files.ts";
import { adHocRpc } from "./rpc.ts";

/** Single files of profiles that a person uploads and looks at. */
export const adHocProfiles: Component<typeof commonSchema> = {
  name: "ad-hoc-profiles",
  schema: commonSchema,
  async wire(config, process) { process.serve(adHocRpc(new AdHocFiles(await process.resources.bucket(), process.addPool(), process.resources.limits, process.base.now), config.multitenancy)); },
};
