import { withTimeLimit } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";

/** One step of a stop, with a name for the log. */
export interface StopStep {
  name: string;
  stop: () => Promise<void>;
}

/**
 * Number of stop steps that may each take the shutdown timeout: hand-over, requests in flight, last uploads,
 * bucket index.
 */
const STEPS = 4;
/** Time for the steps with deadlines of their own. */
const REST_MS = 30_000;

/** Maximum duration of a complete stop, in milliseconds. */
export function stopBoundMs(shutdownTimeoutMs: number): number {
  return STEPS * shutdownTimeoutMs + REST_MS;
}

/**
 * Runs the steps of a stop one after the other. A failed step does not prevent the others; the first error is
 * thrown at the end.
 * @throws `deadline` with the name of the unfinished step when all steps together exceed the bound
 */
export async function stopWithin(steps: readonly StopStep[], boundMs: number): Promise<void> {
  let at = "",
    failed = false,
    first: unknown;
  const all = (async () => {
    for (const { name, stop } of steps) {
      at = name;
      try {
        await stop();
      } catch (err) {
        if (!failed) first = err;
        failed = true;
      }
    }
  })();
  await withTimeLimit(
    boundMs,
    all,
    () =>
      new CinderblockError(
        "deadline",
        `${at} did not stop within ${boundMs} ms, the limit derived from -server.graceful-shutdown-timeout`,
      ),
  );
  if (failed) throw first as Error;
}
