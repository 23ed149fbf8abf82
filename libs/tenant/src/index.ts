export { checkTenantId, DEFAULT_TENANT, isTenantId, tenantForWrite, tenantsForRead } from "./tenant-id.ts";
export { pathBelow, tenantFolder } from "./path-below.ts";
export { checkAccess, Tokens } from "./access.ts";
export type { Access, Role } from "./access.ts";
export { combineReadLimits, smallerLimit, TenantLimits } from "./limits.ts";
export type {
  IngestionLimit,
  IngestLimits,
  Limits,
  RelabelRule,
  SamplingRule,
  UsageGroup,
} from "./limits.ts";
