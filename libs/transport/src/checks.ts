import { isUlid } from "@cinderblock/block-meta";
import { CinderblockError, ERROR_KINDS, type ErrorRecord } from "@cinderblock/errors";
import type { RawPush } from "@cinderblock/ingest";
import { type Check, listOf, record } from "@cinderblock/rpc";
import { checkTenantId } from "@cinderblock/tenant";

/** The ID of one tenant. Tenant IDs become parts of paths and keys, so they are checked where they enter. */
export const tenantId: Check<string> = (v) => checkTenantId(v as string);

/** The name of a head or a block. */
export const ulid: Check<string> = (v) => {
  if (typeof v === "string" && isUlid(v)) return v;
  throw new CinderblockError(
    "invalid",
    `expected a ULID, found ${typeof v === "string" ? JSON.stringify(v) : typeof v}`,
  );
};
export const ulids = listOf(ulid);

export const bytes: Check<Uint8Array> = (v) => {
  if (v instanceof Uint8Array) return v;
  throw new CinderblockError("invalid", `expected bytes, found ${typeof v}`);
};

/** A push with its body; the decoder checks the body itself. */
export const rawPush: Check<RawPush> = (v) => {
  const push = record<RawPush>()(v);
  if (typeof push.kind === "string" && push.body instanceof Uint8Array) return push;
  throw new CinderblockError("invalid", "expected a push with its kind and body");
};

/** An error that another process met, of a kind that is known here. */
export const errorRecord: Check<ErrorRecord> = (v) => {
  const e = record<ErrorRecord>()(v);
  if (typeof e.message === "string" && ERROR_KINDS.includes(e.kind)) return e;
  throw new CinderblockError("invalid", "expected an error with its kind and message");
};
