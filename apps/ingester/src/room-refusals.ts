import type { CinderblockError } from "@cinderblock/errors";
import type { Base } from "@cinderblock/telemetry";

/** Log interval while pushes are refused for lack of room. */
const LOG_MS = 10_000;

/** Counts pushes and records that an ingester refuses for lack of room, and logs one of them now and then. */
export class RoomRefusals {
  private readonly base: Base;
  private readonly refused: { inc(labels: { resource: string }, n?: number): void };
  private lastLog = -Infinity;

  constructor(base: Base) {
    this.base = base;
    this.refused = base.metrics.counter(
      "cinderblock_ingester_pushes_without_room_total",
      "Pushes and records that this ingester refused temporarily, by exhausted resource.",
      ["resource"],
    );
    for (const resource of ["heads", "disk", "local-blocks"]) this.refused.inc({ resource }, 0);
  }

  /** @param err a `no-room` error, whose detail names the resource */
  note(err: CinderblockError): void {
    this.refused.inc({ resource: String(err.detail.resource) });
    const now = performance.now();
    if (now - this.lastLog < LOG_MS) return;
    this.lastLog = now;
    this.base.log.warn(
      { ...err.detail, err },
      "pushes refused: heads, disk or local blocks are at their limit",
    );
  }
}
