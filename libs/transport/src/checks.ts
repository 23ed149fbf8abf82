import { isUlid } from "@cinderblock/block-meta";
import { CinderblockError } from "@cinderblock/errors";
import { checkTenantId } from "@cinderblock/tenant";

/**
 * Checks a tenant ID. Tenant IDs become parts of paths and keys, so each entry point checks them.
 * @throws `invalid`
 */
export function tenantId(text: string): string {
  return checkTenantId(text);
}

/** Checks the ULID of a head or a block. @throws `invalid` */
export function ulid(text: string): string {
  if (isUlid(text)) return text;
  throw new CinderblockError("invalid", `expected a ULID, found ${JSON.stringify(text)}`);
}

/** Checks a list of ULIDs. @throws `invalid` */
export function ulids(list: readonly string[]): string[] {
  return list.map(ulid);
}
