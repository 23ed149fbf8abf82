import { CinderblockError } from "@cinderblock/errors";

/**
 * Rejects with `unavailable` when the work has not ended after `ms`. The work itself goes on, and its outcome is ignored:
 * give clients that can be stopped a signal as well. See docs/correctness.md, "Every wait has a deadline".
 * @param what says what did not happen: `Kafka told no offsets`
 */
export function withDeadline<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new CinderblockError("unavailable", `${what} within ${ms} ms`)),
      ms,
    );
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
