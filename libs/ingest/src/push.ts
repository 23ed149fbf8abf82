import { CinderblockError, type DiscardReason, type ErrorRecord, isRefusal } from "@cinderblock/errors";
import type { Aggregate } from "./aggregate.ts";
import type { IngestRequest } from "./ingest-request.ts";

/**
 * A push as an agent sent it. `trickle`: accepted although a limit of its tenant or of a usage group is
 * reached.
 */
export type SentPush = { trickle?: boolean } & (
  | { kind: "push"; codec: "proto" | "json"; gzip: boolean; body: Uint8Array }
  | { kind: "otlp"; codec: "proto" | "json"; gzip: boolean; body: Uint8Array }
  | { kind: "ingest"; request: IngestRequest; body: Uint8Array }
);

/** A push for storage: one push, or an aggregate. */
export type RawPush = SentPush | Aggregate;

/** Outcome of one push, for the answer and the metrics. */
export interface PushOutcome {
  profiles: number;
  compressedBytes: number;
  decompressedBytes: number;
  samples: number;
  discarded: {
    reason: DiscardReason;
    profiles: number;
    bytes: number;
    /** usage groups of the profiles, as far as known */
    groups?: string[];
  }[];
  error: CinderblockError | undefined;
  /**
   * group -> uncompressed bytes; absent: all bytes of the tenant are in `other`. Clients may choose the names
   */
  groups?: Map<string, number>;
  /** a part of the push belongs to a usage group over its limit, and was accepted as trickle */
  trickled?: boolean;
}

/**
 * An outcome in its form between threads and processes. `error` refuses the push permanently: bad input, or a
 * limit of the tenant that the answering process decides. A process without room throws `no-room` instead of
 * answering.
 */
export type PushAnswer = Omit<PushOutcome, "error" | "groups"> & {
  error: ErrorRecord | undefined;
  /** `groups` as pairs, which messages between processes can encode */
  groupBytes?: [group: string, bytes: number][];
  /** for an aggregate: the answer to each of its pushes */
  parts?: PushAnswer[];
};

/** Outcome of a push before its first profile; also the answer to a push that stores nothing. */
export function emptyOutcome(): Omit<PushOutcome, "error" | "groups"> & { error: undefined } {
  return {
    profiles: 0,
    compressedBytes: 0,
    decompressedBytes: 0,
    samples: 0,
    discarded: [],
    error: undefined,
  };
}

/**
 * Adds a refused profile of `bytes` bytes to an outcome.
 * @param groups usage groups of the profile, as far as known
 * @throws `err` if it does not refuse the push permanently
 */
export function addRefusal(
  out: PushOutcome,
  err: unknown,
  bytes: number,
  groups: string[] | undefined,
): void {
  if (!(err instanceof CinderblockError) || !isRefusal(err.kind)) throw err;
  out.discarded.push({ reason: err.reason ?? "unknown", profiles: 1, bytes, ...(groups ? { groups } : {}) });
  if (!out.error) out.error = err;
  else if (out.error.kind === err.kind)
    out.error = new CinderblockError(
      err.kind,
      `${out.error.message}\n${err.message}`.slice(0, 4096),
      err.reason ? { reason: err.reason } : {},
    );
}
