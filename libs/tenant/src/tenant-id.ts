import { CinderblockError } from "@cinderblock/errors";

export const DEFAULT_TENANT = "anonymous";
const MAX_LENGTH = 150;

function check(id: string): string {
  if (id.length > MAX_LENGTH)
    throw new CinderblockError(
      "unauthenticated",
      `tenant ID is too long: ${id.length} characters; the limit is ${MAX_LENGTH}`,
    );
  if (id === "." || id === "..") throw new CinderblockError("unauthenticated", "tenant ID is '.' or '..'");
  const bad = /[^A-Za-z0-9!\-_.*'()]/.exec(id);
  if (bad)
    throw new CinderblockError(
      "unauthenticated",
      `tenant ID '${id}' contains unsupported character '${bad[0]}'`,
    );
  return id;
}

/** The tenant of a write; without multi-tenancy the header is ignored. */
export function tenantForWrite(header: string | undefined, multitenancy: boolean): string {
  if (!multitenancy) return DEFAULT_TENANT;
  if (header === undefined || header === "") throw new CinderblockError("unauthenticated", "no org id");
  if (header.includes("|")) throw new CinderblockError("unauthenticated", "multiple org IDs present");
  return check(header);
}

/** The tenants of a read: distinct and sorted. */
export function tenantsForRead(header: string | undefined, multitenancy: boolean): string[] {
  if (!multitenancy) return [DEFAULT_TENANT];
  if (header === undefined || header === "") throw new CinderblockError("unauthenticated", "no org id");
  return [...new Set(header.split("|").map(check))].sort();
}
