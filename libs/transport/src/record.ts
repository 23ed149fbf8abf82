import { CinderblockError } from "@cinderblock/errors";
import type { RawPush } from "@cinderblock/ingest";
import { decodeMessage, encodeMessage } from "@cinderblock/message";
import { type IngestLimits, isTenantId } from "@cinderblock/tenant";

/**
 * A push as a record of the partitioned log, with everything that decides about its storage: every reader, at
 * any time, derives the same rows from it (docs/formats/kafka-record.md).
 */
export interface PushRecord {
  tenant: string;
  service: string;
  /**
   * milliseconds since the epoch when the distributor received the push: the time of profiles without one,
   * and the reference for their age
   */
  atMs: number;
  limits: IngestLimits;
  push: RawPush;
  /**
   * profiles of the push that the distributor refused and reported to the sender; absent in records of
   * earlier releases
   */
  refused?: number;
  /**
   * numbers of partitions that placed the push, which is in the partition of each; absent in records of earlier
   * releases
   */
  placedBy?: readonly number[];
  /** the record has no push, and makes `placedBy` known in its partition */
  fence?: true;
}

/** Tenant of records without a push, which store nothing. */
const FENCE_TENANT = "anonymous";
const VERSION = 1;
/** Version of a record with an aggregate: readers that do not support aggregates must wait. */
const AGGREGATE_VERSION = 2;
/** Limits as JSON; many pushes share one limits object. */
const LIMITS = new WeakMap<IngestLimits, string>();

/** Encodes a push as a record: a version byte and a message (docs/formats/kafka-record.md). */
export function encodePushRecord(r: PushRecord): Uint8Array {
  let limits = LIMITS.get(r.limits);
  if (limits === undefined) LIMITS.set(r.limits, (limits = JSON.stringify(r.limits)));
  return encodeMessage(
    [r.tenant, r.service, r.atMs, limits, r.push, ...optional(r)],
    r.push.body.length + limits.length + 1024,
    r.push.kind === "aggregate" ? AGGREGATE_VERSION : VERSION,
  );
}

/** Trailing fields, which readers of earlier releases ignore. */
function optional({ refused, placedBy, fence }: PushRecord): unknown[] {
  if (placedBy !== undefined) return [refused, [...placedBy], ...(fence ? [true] : [])];
  return refused === undefined ? [] : [refused];
}

/**
 * Encodes a record without a push, which makes numbers of partitions known in one partition. Readers of an
 * earlier release see a push without a series.
 */
export function encodeFence(placedBy: readonly number[], atMs: number, limits: IngestLimits): Uint8Array {
  const push: RawPush = { kind: "push", codec: "proto", gzip: false, body: new Uint8Array(0) };
  return encodePushRecord({ tenant: FENCE_TENANT, service: "", atMs, limits, push, placedBy, fence: true });
}

/** Decodes records. Equal limits are the same object each time; bodies are views of the record. */
export class PushRecordDecoder {
  private readonly limits = new Map<string, IngestLimits>();

  /** @throws `unimplemented` for a record of a later version, which must wait for a newer ingester */
  decode(bytes: Uint8Array): PushRecord {
    if (bytes[0] !== VERSION && bytes[0] !== AGGREGATE_VERSION)
      throw new CinderblockError(
        bytes[0] !== undefined && bytes[0] > AGGREGATE_VERSION ? "unimplemented" : "invalid",
        `expected a record of version ${VERSION} or ${AGGREGATE_VERSION}, found ${bytes[0] ?? "nothing"}`,
      );
    const message = decodeMessage(bytes.subarray(1), true);
    const [tenant, service, atMs, limits, push, refused, placedBy, fence] = (
      Array.isArray(message) ? message : []
    ) as [string, string, number, string, RawPush, number?, number[]?, boolean?];
    if (
      !isTenantId(tenant) ||
      typeof service !== "string" ||
      typeof atMs !== "number" ||
      typeof limits !== "string" ||
      !(push?.body instanceof Uint8Array)
    )
      throw new CinderblockError(
        "invalid",
        "expected a tenant ID, service, time, limits and push in a record",
      );
    let known = this.limits.get(limits);
    if (!known) {
      try {
        known = JSON.parse(limits) as IngestLimits;
      } catch (err) {
        throw new CinderblockError("invalid", "expected limits in JSON", { cause: err });
      }
      // Limits change only by hand, so a growing table has hostile or damaged input.
      if (this.limits.size >= 10_000) this.limits.clear();
      this.limits.set(limits, known);
    }
    return {
      tenant,
      service,
      atMs,
      limits: known,
      push,
      ...(typeof refused === "number" ? { refused } : {}),
      ...(isPlacedBy(placedBy) ? { placedBy, ...(fence === true ? { fence } : {}) } : {}),
    };
  }
}

/** One number of partitions, or two in rising order while services move from the first to the second. */
function isPlacedBy(value: unknown): value is number[] {
  if (!Array.isArray(value) || value.length < 1 || value.length > 2) return false;
  const [a, b] = value as unknown[];
  return isCount(a) && (value.length === 1 || (isCount(b) && a < b));
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
