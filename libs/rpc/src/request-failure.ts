/** Errors of requests in flight, by their raw request. */
const failures = new WeakMap<object, unknown>();

/**
 * Records the error that answers a raw request, for the line of the request log. The first error counts; later
 * ones are its translations.
 */
export function recordFailure(request: object, err: unknown): void {
  if (!failures.has(request)) failures.set(request, err);
}

/** The error that `recordFailure` stored for a raw request; undefined without one. */
export function failureOf(request: object): unknown {
  return failures.get(request);
}
