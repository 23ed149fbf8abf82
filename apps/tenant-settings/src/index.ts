export { tenantSettings } from "./app.ts";
export { settingsRpc } from "./rpc.ts";
export { TenantSettings } from "./settings.ts";
