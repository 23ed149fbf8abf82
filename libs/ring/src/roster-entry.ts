import { CinderblockError, CorruptError } from "@cinderblock/errors";

/**
 * Folder of the roster. All objects of Cinderblock that are not blocks are below a folder that Pyroscope v1
 * does not treat as a tenant.
 */
export const ROSTER_FOLDER = "__pyroscope_cluster/cinderblock/ingesters/";

/** An ingester that may hold data that the bucket lacks. Format: docs/formats/ingester-roster.md */
export interface RosterEntry {
  id: string;
  /** host:port of the ingester's server */
  address: string;
  zone: string;
  /** identifies one start of the process */
  incarnation: string;
  startedMs: number;
}

/** Object name of an ingester's entry. */
export function rosterName(id: string): string {
  return ROSTER_FOLDER + encodeURIComponent(id);
}

/** Ingester ID from an object name; undefined for an object that is not an entry. */
export function rosterId(name: string): string | undefined {
  const file = name.slice(ROSTER_FOLDER.length);
  if (!name.startsWith(ROSTER_FOLDER) || file === "" || file.includes("/")) return undefined;
  try {
    return decodeURIComponent(file);
  } catch {
    return file; // created by hand; no ID contains a broken escape
  }
}

/** Encodes a roster entry as JSON. */
export function encodeRosterEntry(e: RosterEntry): Uint8Array {
  return Buffer.from(`${JSON.stringify({ version: 1, ...e })}\n`);
}

/** Decodes a roster entry. @throws `CorruptError` for a damaged one */
export function decodeRosterEntry(bytes: Uint8Array, name: string): RosterEntry {
  let e: Partial<RosterEntry> & { version?: number };
  try {
    e = JSON.parse(Buffer.from(bytes).toString()) as typeof e;
  } catch (err) {
    throw new CorruptError(name, 0, "expected JSON", { cause: err });
  }
  if (
    (e as unknown) === null ||
    e.version !== 1 ||
    typeof e.id !== "string" ||
    typeof e.address !== "string" ||
    e.address === ""
  )
    throw new CorruptError(name, 0, "expected version 1 with id and address");
  return {
    id: e.id,
    address: e.address,
    zone: typeof e.zone === "string" ? e.zone : "",
    incarnation: typeof e.incarnation === "string" ? e.incarnation : "",
    startedMs: Number(e.startedMs) || 0,
  };
}

/** Bucket operations that the roster uses. */
export interface RosterBucket {
  get(name: string): Promise<Uint8Array>;
  put(name: string, bytes: Uint8Array): Promise<void>;
  exists(name: string): Promise<boolean>;
  delete(name: string): Promise<void>;
  list(prefix: string): Promise<string[]>;
}

/** Error of a bucket request that exceeded its deadline. */
export function bucketTimeoutError(what: string, ms: number): Error {
  return new CinderblockError("unavailable", `bucket did not answer ${what} within ${ms / 1000} s`);
}
