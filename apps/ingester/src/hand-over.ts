import { Semaphore, sleep, withTimeLimit } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";
import { crashPoint } from "@cinderblock/files";
import type { Base } from "@cinderblock/telemetry";

/** The fields of a local block that a hand-over needs. */
export interface HeldBlock {
  tenant: string;
  ulid: string;
}

/** The parts of a leaving ingester. */
export interface HandOverParts {
  /** cuts all heads of this ingester into blocks */
  flush: () => Promise<void>;
  /** runs one pass of deletions and uploads */
  ship: () => Promise<void>;
  /** blocks that are not in the bucket */
  unshipped: () => readonly HeldBlock[];
  shipped: () => readonly HeldBlock[];
  /** whether store-gateways answer for a block */
  answerable: (tenant: string, ulid: string) => Promise<boolean>;
}

/** Number of blocks that no other component answers for. */
export interface HandOverRemainder {
  unshipped: number;
  unanswered: number;
}

const PAUSE_MS = 500;
/** Maximum concurrent requests to store-gateways. */
const AT_ONCE = 8;

/**
 * Uploads everything, then waits until store-gateways answer for all of it. Retries an unavailable bucket
 * until the deadline; a stalled bucket does not delay the stop beyond the deadline (docs/correctness.md,
 * "Local copies go when answerable").
 * @returns the blocks that are left; unless both counts are 0, the caller stays in the ring and in the roster
 */
export async function handOver(
  parts: HandOverParts,
  deadlineMs: number,
  base: Base,
): Promise<HandOverRemainder> {
  const late = (): Error => new CinderblockError("deadline", "hand-over deadline exceeded"),
    bounded = <T>(work: Promise<T>): Promise<T> =>
      withTimeLimit(Math.max(1, deadlineMs - base.now()), work, late);
  const answered = new Set<string>(),
    slots = new Semaphore(AT_ONCE);
  try {
    await bounded(parts.flush());
    crashPoint("hand-over/flushed");
    for (;;) {
      await bounded(parts.ship());
      crashPoint("hand-over/shipped");
      const waiting = parts.shipped().filter((b) => !answered.has(b.ulid));
      await bounded(
        Promise.all(
          waiting.map((b) =>
            slots.run(async () => {
              if (await parts.answerable(b.tenant, b.ulid)) answered.add(b.ulid);
            }),
          ),
        ),
      );
      const left = count(parts, answered);
      if (left.unshipped + left.unanswered === 0 || base.now() + PAUSE_MS > deadlineMs) return left;
      base.log.info(left, "hand-over waiting for the bucket and the store-gateways");
      await sleep(PAUSE_MS);
    }
  } catch (err) {
    base.log.warn({ err }, "hand-over failed");
    return count(parts, answered);
  }
}

function count(parts: HandOverParts, answered: ReadonlySet<string>): HandOverRemainder {
  return {
    unshipped: parts.unshipped().length,
    unanswered: parts.shipped().filter((b) => !answered.has(b.ulid)).length,
  };
}
