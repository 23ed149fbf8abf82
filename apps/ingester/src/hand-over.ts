import { Semaphore, sleep, within } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";
import { crashPoint } from "@cinderblock/files";
import type { Base } from "@cinderblock/telemetry";

/** A local block as far as a hand-over looks at it. */
export interface HeldBlock {
  tenant: string;
  ulid: string;
}

/** Parts of a leaving ingester. */
export interface HandOverParts {
  /** heads become blocks */
  flush: () => Promise<void>;
  /** one pass of uploads, and of drops of deleted tenants */
  ship: () => Promise<void>;
  /** blocks that the bucket does not have */
  unshipped: () => readonly HeldBlock[];
  shipped: () => readonly HeldBlock[];
  /** whether store-gateways answer for a block */
  answerable: (tenant: string, ulid: string) => Promise<boolean>;
}

/** Blocks that only this ingester answers for. */
export interface Left {
  unshipped: number;
  unanswered: number;
}

const PAUSE_MS = 500;
/** Blocks whose store-gateways are asked at once. */
const AT_ONCE = 8;

/**
 * Uploads everything and waits until store-gateways answer for it. A bucket that is away is tried again until the deadline; a
 * bucket that is silent does not hold the stop beyond it (docs/correctness.md, "Local copies go when answerable").
 * @returns what is left; the caller stays in the ring and in the roster unless that is nothing
 */
export async function handOver(parts: HandOverParts, deadlineMs: number, base: Base): Promise<Left> {
  const late = (): Error => new CinderblockError("deadline", "hand-over deadline exceeded"),
    bounded = <T>(work: Promise<T>): Promise<T> => within(Math.max(1, deadlineMs - base.now()), work, late);
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
      base.log.info(left, "hand-over waits for the bucket and the store-gateways");
      await sleep(PAUSE_MS);
    }
  } catch (err) {
    base.log.warn({ err }, "hand-over could not finish");
    return count(parts, answered);
  }
}

function count(parts: HandOverParts, answered: ReadonlySet<string>): Left {
  return {
    unshipped: parts.unshipped().length,
    unanswered: parts.shipped().filter((b) => !answered.has(b.ulid)).length,
  };
}
