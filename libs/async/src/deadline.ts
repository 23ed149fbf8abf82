import { CinderblockError } from "@cinderblock/errors";

/**
 * Rejects with `unavailable` when the work has not ended after `ms` milliseconds. The work continues and its
 * outcome is ignored: also pass a signal to clients that can be stopped. See docs/correctness.md, "Every wait
 * has a deadline".
 * @param what the event that did not happen: `Kafka told no offsets`
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
