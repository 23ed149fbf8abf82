/**
 * The closed set of error kinds. Domain code throws a kind; only `libs/rpc` maps a kind to a status or code
 * (docs/reference/errors.md).
 */
export type ErrorKind =
  | "invalid"
  | "unauthenticated"
  | "forbidden"
  | "not-found"
  | "conflict"
  | "limit"
  | "no-room"
  | "too-large"
  | "unavailable"
  | "deadline"
  | "canceled"
  | "corrupt"
  | "unimplemented"
  | "internal"
  | "unknown";

/** All error kinds. docs/reference/errors.md lists their codes and statuses. */
export const ERROR_KINDS: readonly ErrorKind[] = [
  "invalid",
  "unauthenticated",
  "forbidden",
  "not-found",
  "conflict",
  "limit",
  "no-room",
  "too-large",
  "unavailable",
  "deadline",
  "canceled",
  "corrupt",
  "unimplemented",
  "internal",
  "unknown",
];

/** Cause, fields for logs, and discard reason of an error. */
export interface ErrorOptions {
  /** The causing error of another layer. */
  cause?: unknown;
  /**
   * Facts for decisions, logs and metrics, such as `block`, `file`, `offset` or `limit`. The message is
   * understandable without them, and nothing depends on its wording.
   */
  detail?: Record<string, string | number | boolean>;
  /** Label of the `reason` counter for refused profiles. */
  reason?: DiscardReason;
}

/** Reason labels of `pyroscope_discarded_samples_total`, with v1's names. */
export const DISCARD_REASONS = [
  "missing_labels",
  "max_label_names_per_series",
  "invalid_labels",
  "label_name_too_long",
  "label_value_too_long",
  "duplicate_label_names",
  "not_in_ingestion_window",
  "profile_size_limit",
  "samples_limit",
  "sample_labels_limit",
  "malformed_profile",
  "body_size_limit_exceeded",
  "rate_limited",
  "ingest_limit_reached",
  "series_limit",
  "dropped_by_relabel_rules",
  "dropped_by_sampling_rules",
  "unknown",
] as const;
/** Value of the label `reason` of the discarded profiles' metrics. */
export type DiscardReason = (typeof DISCARD_REASONS)[number];

/** An error that states a fact, the exceeded limit, and its kind. */
export class CinderblockError extends Error {
  readonly kind: ErrorKind;
  readonly detail: Record<string, string | number | boolean>;
  readonly reason: DiscardReason | undefined;

  constructor(kind: ErrorKind, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CinderblockError";
    this.kind = kind;
    this.detail = options.detail ?? {};
    this.reason = options.reason;
  }
}

/** Error of bytes that violate their format: the file, the position, and the expected content. */
export class CorruptError extends CinderblockError {
  constructor(file: string, offset: number, expected: string, options: ErrorOptions = {}) {
    super("corrupt", `${file}: at byte ${offset}: ${expected}`, {
      ...options,
      detail: { ...options.detail, file, offset },
    });
    this.name = "CorruptError";
  }
}

/** Creates an `invalid` error: the request is wrong, and a retry fails again. */
export function invalidError(message: string, reason?: DiscardReason): CinderblockError {
  return new CinderblockError("invalid", message, reason === undefined ? {} : { reason });
}

/** A resource of one process that may be temporarily exhausted. */
export type Resource = "heads" | "disk" | "local-blocks" | "inflight";

/**
 * Creates a momentary refusal: another replica, or this process later, may accept the same push. Such a
 * refusal is always thrown and never part of an answer (docs/correctness.md, "No late refusal").
 */
export function noRoom(
  resource: Resource,
  message: string,
  detail: Record<string, string | number | boolean> = {},
): CinderblockError {
  return new CinderblockError("no-room", message, {
    reason: "rate_limited",
    detail: { ...detail, resource },
  });
}

/**
 * Kinds that refuse a push permanently; an error of any other kind says nothing about the push and is
 * rethrown.
 */
const REFUSALS: ReadonlySet<ErrorKind> = new Set(["invalid", "unknown", "too-large", "limit"]);

/** Whether an error of this kind may be the answer to a push. */
export function isRefusal(kind: ErrorKind): boolean {
  return REFUSALS.has(kind);
}

/** Reasons of `limit` that depend only on the push and the limits sent along with it. */
const DETERMINISTIC_LIMITS: ReadonlySet<DiscardReason | undefined> = new Set(["ingest_limit_reached"]);

/**
 * Whether every process with the same push and the same limits refuses it in the same way. Other refusals
 * depend on the process: a rate, a number of series, a full disk.
 */
export function isDeterministicRefusal(error: Pick<ErrorRecord, "kind" | "reason">): boolean {
  return isRefusal(error.kind) && (error.kind !== "limit" || DETERMINISTIC_LIMITS.has(error.reason));
}

/** Kind of a thrown value; `internal` for values other than CinderblockError. */
export function kindOf(err: unknown): ErrorKind {
  return err instanceof CinderblockError ? err.kind : "internal";
}

/** Message of a thrown value of any type. */
export function messageOf(err: unknown): string {
  return err instanceof Error ? err.message : String(err);
}

/**
 * Conditions of a request that a client can correct, under `condition` in an error's detail. The public API
 * sends them in the header `x-cinderblock-condition` (docs/reference/errors.md).
 */
export const CONDITIONS = ["no-tenant", "query-too-long", "too-many-profiles"] as const;
/** One of CONDITIONS. */
export type Condition = (typeof CONDITIONS)[number];

/** Condition that an error names in its detail; undefined for other errors. */
export function conditionOf(err: unknown): Condition | undefined {
  const named = err instanceof CinderblockError ? err.detail.condition : undefined;
  return CONDITIONS.find((c) => c === named);
}

/** ULID of the block that an error names in its detail; undefined for other errors. */
export function blockOf(err: unknown): string | undefined {
  const block = err instanceof CinderblockError ? err.detail.block : undefined;
  return typeof block === "string" ? block : undefined;
}

/**
 * Runs work on one block. An error of damage, or of a missing file, gets the block's ULID in its detail:
 * callers quarantine the block or plan around it, whatever the message says.
 */
export async function withBlock<T>(ulid: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (err) {
    if (err instanceof CinderblockError && (err.kind === "corrupt" || err.kind === "not-found"))
      err.detail.block ??= ulid;
    throw err;
  }
}

/** Form of an error between threads and processes. */
export interface ErrorRecord {
  kind: ErrorKind;
  message: string;
  reason?: DiscardReason;
  detail?: Record<string, string | number | boolean>;
  stack?: string;
}

/** Converts an error to a plain object for other threads and processes; keeps kind, reason and detail. */
export function toErrorRecord(err: unknown): ErrorRecord {
  const record: ErrorRecord = { kind: kindOf(err), message: messageOf(err) };
  if (err instanceof CinderblockError) {
    if (err.reason !== undefined) record.reason = err.reason;
    if (Object.keys(err.detail).length > 0) record.detail = err.detail;
  }
  if (err instanceof Error && err.stack !== undefined && record.kind === "internal") record.stack = err.stack;
  return record;
}

/** Converts the record of another thread or process back to an error; unknown kinds become `internal`. */
export function fromErrorRecord(record: ErrorRecord): CinderblockError {
  // A process of another release may have more kinds.
  const kind = ERROR_KINDS.includes(record.kind) ? record.kind : "internal";
  const err = new CinderblockError(kind, record.message, {
    ...(record.reason === undefined ? {} : { reason: record.reason }),
    ...(record.detail === undefined ? {} : { detail: record.detail }),
  });
  if (record.stack !== undefined) err.stack = record.stack;
  return err;
}

/** Rejects a value outside of a closed union. @throws `internal` */
export function assertNever(value: never): never {
  throw new CinderblockError("internal", `unexpected value ${String(value)}`);
}
