import { CinderblockError } from "@cinderblock/errors";

/** Pauses for long work on a thread that has other work: asked between steps, which are short. */
export interface Pace {
  /** Whether the time slice of this work is over. */
  due(): boolean;
  /** Resolves with the next time slice. @throws `canceled` when no caller waits for the result anymore */
  next(): Promise<void>;
}

/** No pauses: for work that has its thread to itself. */
export const UNPACED: Pace = { due: () => false, next: () => Promise.resolve() };

const SLICE_MS = 10;

/**
 * Time slices of one thread. At most one slice runs in each turn of the event loop, however many callers work at once, so
 * that messages and timers wait for one slice only (docs/correctness.md, "Every input has a budget").
 */
export class TimeSlices {
  private readonly waiting: (() => void)[] = [];
  private readonly now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  /** The pace of one piece of work. @param canceled whether its result is still wanted is asked before each slice */
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
    // Scheduled before the slice runs: the loop sees other events in between. Two turns, since most other work is an event
    // and its continuation.
    if (this.waiting.length > 1) setImmediate(() => setImmediate(() => this.advance()));
    this.waiting.shift()!();
  }
}
