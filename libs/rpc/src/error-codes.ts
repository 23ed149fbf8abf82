import { Code, ConnectError } from "@connectrpc/connect";
import { CinderblockError, conditionOf, type ErrorKind } from "@cinderblock/errors";
import { recordFailure } from "./request-failure.ts";

/** The only mapping from error kinds to codes and HTTP statuses. */
export const ERROR_CODES = {
  invalid: { code: Code.InvalidArgument, http: 400 },
  unauthenticated: { code: Code.Unauthenticated, http: 401 },
  "not-found": { code: Code.NotFound, http: 404 },
  limit: { code: Code.ResourceExhausted, http: 429 },
  "no-room": { code: Code.ResourceExhausted, http: 429 },
  unavailable: { code: Code.Unavailable, http: 503 },
  deadline: { code: Code.DeadlineExceeded, http: 504 },
  canceled: { code: Code.Canceled, http: 499 },
  corrupt: { code: Code.DataLoss, http: 500 },
  forbidden: { code: Code.PermissionDenied, http: 403 },
  conflict: { code: Code.AlreadyExists, http: 409 },
  "too-large": { code: Code.ResourceExhausted, http: 413 },
  unimplemented: { code: Code.Unimplemented, http: 501 },
  internal: { code: Code.Internal, http: 500 },
  unknown: { code: Code.Unknown, http: 500 },
} satisfies Record<ErrorKind, { code: Code; http: number }>;

/** Exceptions for v1's clients of /ingest: an unreadable profile is 422. */
export const INGEST_ERROR_STATUS: Partial<Record<ErrorKind, number>> = { unknown: 422 };

/** Name of a code in the Connect protocol, such as `invalid_argument` for Code.InvalidArgument. */
export function codeName(code: Code): string {
  return Code[code].replace(/[A-Z]/g, (c, at: number) => `${at > 0 ? "_" : ""}${c.toLowerCase()}`);
}

/** Headers of an error's answer: the condition that a client can correct, if the error names one. */
export function errorHeaders(err: unknown): Record<string, string> {
  const condition = conditionOf(err);
  return condition === undefined ? {} : { "x-cinderblock-condition": condition };
}

/** Converts any error to a Connect error. */
export function toConnectError(err: unknown): ConnectError {
  if (err instanceof ConnectError) return err;
  if (err instanceof CinderblockError)
    return new ConnectError(err.message, ERROR_CODES[err.kind].code, errorHeaders(err), undefined, err);
  return new ConnectError(
    err instanceof Error ? err.message : String(err),
    Code.Internal,
    undefined,
    undefined,
    err,
  );
}

/** Status and JSON body of the error that a raw request on a plain HTTP route ends with. */
export function httpError(
  request: object,
  err: unknown,
  overrides: Partial<Record<ErrorKind, number>> = {},
): { status: number; body: string } {
  recordFailure(request, err);
  const kind: ErrorKind = err instanceof CinderblockError ? err.kind : "internal";
  const { code, http } = ERROR_CODES[kind];
  // A body that is too large is 413 on every plain route, independent of the check that found it.
  const tooLarge = err instanceof CinderblockError && err.reason === "body_size_limit_exceeded";
  return {
    status: tooLarge ? 413 : (overrides[kind] ?? http),
    body: `${JSON.stringify({ code: codeName(code), message: err instanceof Error ? err.message : String(err) })}\n`,
  };
}
