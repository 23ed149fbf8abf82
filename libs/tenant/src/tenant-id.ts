import { CinderblockError, type Condition } from "@cinderblock/errors";

/** Tenant of all data without multi-tenancy. */
export const DEFAULT_TENANT = "anonymous";
const MAX_LENGTH = 150;

/**
 * Names of Cinderblock's own files and folders in a data path and at the root of a bucket. A tenant with such
 * a name would collide with them, and its data would be mistaken for other data.
 */
const RESERVED: ReadonlySet<string> = new Set([
  ".cinderblock",
  "__pyroscope_cluster",
  ...[
    "tenant_settings.json",
    "ring-tokens.json",
    "partitions.json",
    "suspect-records.json",
    "roster.json",
  ].flatMap((file) => [file, `${file}.next`]),
]);
/** Part of the name of an unfinished object in a directory bucket, whose listings omit such names. */
const UNFINISHED_OBJECT = ".tmp-";

/** Reason why a text is not a tenant ID; undefined for a tenant ID. */
function fault(id: string): string | undefined {
  if (id === "") return "tenant ID is empty";
  if (id.length > MAX_LENGTH)
    return `tenant ID is too long: ${id.length} characters; the limit is ${MAX_LENGTH}`;
  if (id === "." || id === "..") return "tenant ID is '.' or '..'";
  if (RESERVED.has(id) || id.includes(UNFINISHED_OBJECT))
    return `tenant ID '${id}' is reserved for files of Cinderblock`;
  const bad = /[^A-Za-z0-9!\-_.*'()]/.exec(id);
  return bad ? `tenant ID '${id}' contains unsupported character '${bad[0]}'` : undefined;
}

/** Whether a text is the ID of one tenant. */
export function isTenantId(id: unknown): id is string {
  return typeof id === "string" && fault(id) === undefined;
}

/**
 * Checks a tenant ID from another process, a record or a file, and returns it. The public API uses
 * `tenantForWrite` and `tenantsForRead`.
 * @throws `invalid` for a text that is not a tenant ID
 */
export function checkTenantId(id: string): string {
  const reason =
    typeof id === "string" ? fault(id) : `expected a tenant ID, found a value of type ${typeof id}`;
  if (reason !== undefined) throw new CinderblockError("invalid", reason);
  return id;
}

/** Checks an ID from a client's header. @throws `unauthenticated` */
function check(id: string): string {
  const reason = fault(id);
  if (reason !== undefined) throw new CinderblockError("unauthenticated", reason);
  return id;
}

function withoutTenant(): CinderblockError {
  return new CinderblockError("unauthenticated", "no org id", {
    detail: { condition: "no-tenant" satisfies Condition },
  });
}

/** Tenant of a write; without multi-tenancy the header is ignored. @throws `unauthenticated` */
export function tenantForWrite(header: string | undefined, multitenancy: boolean): string {
  if (!multitenancy) return DEFAULT_TENANT;
  if (header === undefined || header === "") throw withoutTenant();
  if (header.includes("|")) throw new CinderblockError("unauthenticated", "multiple org IDs present");
  return check(header);
}

/** Tenants of a read: distinct and sorted. @throws `unauthenticated` */
export function tenantsForRead(header: string | undefined, multitenancy: boolean): string[] {
  if (!multitenancy) return [DEFAULT_TENANT];
  if (header === undefined || header === "") throw withoutTenant();
  return [...new Set(header.split("|").map(check))].sort();
}
