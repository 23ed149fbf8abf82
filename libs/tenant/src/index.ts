export { DEFAULT_TENANT, tenantForWrite, tenantsForRead } from "./tenant-id.ts";
export { TenantLimits } from "./limits.ts";
export type { Limits } from "./limits.ts";
