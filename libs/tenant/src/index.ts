export { DEFAULT_TENANT, tenantForWrite, tenantsForRead } from "./tenant-id.ts";
export { TenantLimits } from "./limits.ts";
export type { IngestLimits, Limits } from "./limits.ts";
