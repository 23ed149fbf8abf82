import { isUlid } from "@cinderblock/block-meta";
import { CinderblockError, ERROR_KINDS, type ErrorRecord } from "@cinderblock/errors";
import type { RawPush } from "@cinderblock/ingest";
import { type ArgumentCheck, listOf, record } from "@cinderblock/rpc";
import { checkTenantId } from "@cinderblock/tenant";

/**
 * Checks a tenant ID. Tenant IDs become parts of paths and keys, so each entry point checks them.
 * @throws `invalid`
 */
export const tenantId: ArgumentCheck<string> = (v) => checkTenantId(v as string);

/** Checks the ULID of a head or a block. @throws `invalid` */
export const ulid: ArgumentCheck<string> = (v) => {
  if (typeof v === "string" && isUlid(v)) return v;
  throw new CinderblockError(
    "invalid",
    `expected a ULID, found ${typeof v === "string" ? JSON.stringify(v) : typeof v}`,
  );
};
/** Checks a list of ULIDs. @throws `invalid` */
export const ulids = listOf(ulid);

/** Checks for bytes. @throws `invalid` */
export const bytes: ArgumentCheck<Uint8Array> = (v) => {
  if (v instanceof Uint8Array) return v;
  throw new CinderblockError("invalid", `expected bytes, found ${typeof v}`);
};

/** Checks a push with its body; the decoder checks the body itself. @throws `invalid` */
export const rawPush: ArgumentCheck<RawPush> = (v) => {
  const push = record<RawPush>()(v);
  if (typeof push.kind === "string" && push.body instanceof Uint8Array) return push;
  throw new CinderblockError("invalid", "expected a push with its kind and body");
};

/** Checks an error of another process, of a known kind. @throws `invalid` */
export const errorRecord: ArgumentCheck<ErrorRecord> = (v) => {
  const e = record<ErrorRecord>()(v);
  if (typeof e.message === "string" && ERROR_KINDS.includes(e.kind)) return e;
  throw new CinderblockError("invalid", "expected an error with its kind and message");
};
