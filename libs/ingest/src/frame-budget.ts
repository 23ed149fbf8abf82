import { CinderblockError } from "@cinderblock/errors";

/** Memory of one frame of a stack in a profile's columns. */
const FRAME_BYTES = 4;

/**
 * Budget for the frames of all stacks that are built from one body. A format may name the frames of a stack once
 * for many samples, or share them between stacks, but a profile repeats them for each sample: without a bound,
 * kilobytes become gigabytes. One per body.
 */
export class FrameBudget {
  private readonly limitBytes: number;
  private left: number;

  /** @param limitBytes largest inflated body in bytes, 0: no limit; the frames may take the same memory */
  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
    this.left = limitBytes > 0 ? limitBytes / FRAME_BYTES : Infinity;
  }

  /** Takes a stack's frames out of the budget, before memory is allocated. @throws `invalid` */
  take(frames: number): void {
    this.left -= frames;
    if (this.left >= 0) return;
    throw new CinderblockError(
      "invalid",
      `the stacks of all samples have more than ${Math.floor(this.limitBytes / FRAME_BYTES)} frames together: ${FRAME_BYTES} bytes each, within the limit of a body (${this.limitBytes} bytes, ingestion_body_limit_mb)`,
      { reason: "body_size_limit_exceeded", detail: { limit: this.limitBytes } },
    );
  }
}
