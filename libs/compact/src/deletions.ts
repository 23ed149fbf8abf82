import { newUlid } from "@cinderblock/block-meta";
import { CinderblockError, CorruptError, invalidError } from "@cinderblock/errors";
import { parseSelector } from "@cinderblock/model";
import type { Bucket } from "@cinderblock/objstore";

/** A block that a deletion request has changed. */
export interface DeletionStep {
  atMs: number;
  block: string;
  /** ULID of the rewritten block; "": no profile was left */
  replacement: string;
  profiles: number;
}

/**
 * A request to delete profiles, and the steps taken; kept forever as an audit trail. Format:
 * docs/formats/deletion-request.md
 */
export interface DeletionRequest {
  id: string;
  tenant: string;
  selector: string;
  /** milliseconds since the epoch, both inclusive */
  startMs: number;
  endMs: number;
  createdMs: number;
  /** person who requested the deletion, and the reason */
  by: string;
  reason: string;
  /** blocks that arrive until this time are searched as well */
  untilMs: number;
  state: "active" | "done" | "cancelled";
  doneMs: number;
  steps: DeletionStep[];
}

/**
 * All objects of Cinderblock that are not blocks are below a folder that Pyroscope v1 does not treat as a
 * tenant.
 */
const folder = (tenant: string): string => `__pyroscope_cluster/cinderblock/deletions/${tenant}/`;
const nameOf = (r: { tenant: string; id: string }): string => `${folder(r.tenant)}${r.id}.json`;

/** Checks and stores a request. @throws `invalid` */
export async function requestDeletion(
  bucket: Bucket,
  r: Pick<DeletionRequest, "tenant" | "selector" | "startMs" | "endMs" | "by" | "reason"> & {
    nowMs: number;
    periodMs: number;
  },
): Promise<DeletionRequest> {
  if (parseSelector(r.selector).length === 0)
    throw invalidError(
      "a deletion needs a selector with at least one matcher; to delete all data of a tenant, mark the tenant for deletion",
    );
  if (!(r.startMs <= r.endMs)) throw invalidError("the start of a deletion must not be after its end");
  const request: DeletionRequest = {
    id: newUlid(r.nowMs),
    tenant: r.tenant,
    selector: r.selector,
    startMs: r.startMs,
    endMs: r.endMs,
    createdMs: r.nowMs,
    by: r.by,
    reason: r.reason,
    untilMs: r.nowMs + r.periodMs,
    state: "active",
    doneMs: 0,
    steps: [],
  };
  if (!(await bucket.putIfAbsent(nameOf(request), encode(request))))
    throw new CinderblockError("conflict", `deletion request ${request.id} already exists`);
  return request;
}

/** Requests of a tenant, oldest first. */
export async function deletionRequests(bucket: Bucket, tenant: string): Promise<DeletionRequest[]> {
  const out: DeletionRequest[] = [];
  for (const name of await bucket.list(folder(tenant)))
    if (name.endsWith(".json")) out.push(decode(await bucket.get(name), name));
  return out;
}

/** Tenants that ever had a request. */
export async function tenantsWithDeletions(bucket: Bucket): Promise<string[]> {
  const root = folder("").slice(0, -1);
  return (await bucket.list(root)).filter((n) => n.endsWith("/")).map((n) => n.slice(root.length, -1));
}

/** Stores the current state of a request. */
export async function saveDeletion(bucket: Bucket, request: DeletionRequest): Promise<void> {
  await bucket.put(nameOf(request), encode(request));
}

function encode(r: DeletionRequest): Uint8Array {
  return Buffer.from(`${JSON.stringify({ version: 1, ...r }, undefined, 1)}\n`);
}

function decode(bytes: Uint8Array, name: string): DeletionRequest {
  const wrong = (expected: string, cause?: unknown): never => {
    throw new CorruptError(name, 0, expected, cause === undefined ? {} : { cause });
  };
  let value: DeletionRequest & { version?: number };
  try {
    value = JSON.parse(Buffer.from(bytes).toString()) as typeof value;
  } catch (err) {
    return wrong("expected JSON", err);
  }
  if (value.version !== 1) wrong(`expected version 1, found ${JSON.stringify(value.version)}`);
  for (const [key, type] of [
    ["id", "string"],
    ["tenant", "string"],
    ["selector", "string"],
    ["startMs", "number"],
    ["endMs", "number"],
    ["createdMs", "number"],
    ["untilMs", "number"],
    ["state", "string"],
  ] as const)
    if (typeof value[key] !== type) wrong(`expected ${key} to be a ${type}`);
  if (!Array.isArray(value.steps)) wrong("expected a list of steps");
  parseSelector(value.selector);
  delete value.version;
  return value;
}
