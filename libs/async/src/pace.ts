import { CinderblockError } from "@cinderblock/errors";

/** Pauses of long work on a thread with other work: call it between short steps. */
export interface Pace {
  /** Whether the time slice of this work is over. */
  due(): boolean;
  /** Resolves with the next time slice. @throws `canceled` when no caller waits for the result anymore */
  next(): Promise<void>;
}

/** Pace without pauses, for work with a thread of its own. */
export const UNPACED: Pace = { due: () => false, next: () => Promise.resolve() };

const SLICE_MS = 10;

/**
 * Time slices of one thread. At most one slice runs in each turn of the event loop, however many callers work
 * concurrently, so that messages and timers wait for one slice only (docs/correctness.md, "Every input has a
 * budget").
 */
export class TimeSlices {
  private readonly waiting: (() => void)[] = [];
  private readonly now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  /**
   * Pace of one piece of work.
   * @param canceled called before and after each pause: whether no caller waits for the result
   */
  pace(canceled: () => boolean = () => false): Pace {
    let since = this.now();
    return {
      due: () => this.now() - since >= SLICE_MS,
      next: async () => {
        if (canceled()) throw new CinderblockError("canceled", "context canceled");
        await this.turn();
        if (canceled()) throw new CinderblockError("canceled", "context canceled");
        since = this.now();
      },
    };
  }

  private turn(): Promise<void> {
    return new Promise((go) => {
      this.waiting.push(go);
      if (this.waiting.length === 1) setImmediate(() => setImmediate(() => this.advance()));
    });
  }

  private advance(): void {
    // Scheduled before the slice runs, so that the loop handles other events in between. Two turns, because
    // most other work is an event and its continuation.
    if (this.waiting.length > 1) setImmediate(() => setImmediate(() => this.advance()));
    this.waiting.shift()!();
  }
}
