import { CinderblockError, noRoom } from "@cinderblock/errors";
import type { Metrics } from "@cinderblock/telemetry";

/** Maximum share of the budget for a small body. */
const SMALL_SHARE = 1 / 16;
/** Share of the budget that is reserved for small bodies. */
const RESERVED_SHARE = 1 / 4;

/**
 * Memory for request bodies of a process, from all endpoints. A body is reserved before it is read: by its
 * length, or chunk by chunk without a length. Large bodies share three quarters of the budget, so that
 * never-ending ones leave room for other callers' pushes (docs/correctness.md, "Every input has a budget").
 */
export class BodyBudget {
  readonly limitBytes: number;
  private largeBytes = 0;
  private smallBytes = 0;
  /** bodies that wait for room, in order */
  private readonly waiting: { bytes: number; take: (ticket: BodyTicket) => void }[] = [];
  private readonly refused: (() => void) | undefined;

  private readonly flag: string;

  /**
   * @param from origin of the bodies, for the metrics
   * @param flag option that sets the limit, for the error
   */
  constructor(limitBytes: number, metrics?: Metrics, from = "clients", flag = "-memory.inflight-bytes") {
    this.limitBytes = limitBytes;
    this.flag = flag;
    metrics?.gauge(
      "cinderblock_server_request_body_bytes",
      "Reserved memory for request bodies that are being read or processed.",
      ["from"],
      (g) => {
        g.set({ from }, this.heldBytes);
      },
    );
    metrics
      ?.gauge("cinderblock_server_request_body_limit_bytes", "Memory budget for request bodies.", ["from"])
      .set({ from }, limitBytes);
    const refused = metrics?.counter(
      "cinderblock_server_refused_bodies_total",
      "Requests refused because the memory budget for request bodies was exhausted.",
      ["from"],
    );
    if (refused) this.refused = () => refused.inc({ from });
  }

  get heldBytes(): number {
    return this.largeBytes + this.smallBytes;
  }

  /** Reserves `bytes`. @throws `no-room` when they do not fit now */
  reserve(bytes: number): BodyTicket {
    const ticket = new BodyTicket(this);
    ticket.grow(bytes);
    return ticket;
  }

  /** Waits in order until `bytes` fit. @throws `canceled` when the signal aborts first */
  acquire(bytes: number, signal: AbortSignal): Promise<BodyTicket> {
    return new Promise((resolve, reject) => {
      const waiter = {
        bytes,
        take: (ticket: BodyTicket): void => {
          signal.removeEventListener("abort", leave);
          resolve(ticket);
        },
      };
      const leave = (): void => {
        const at = this.waiting.indexOf(waiter);
        if (at >= 0) this.waiting.splice(at, 1);
        this.admitWaiting();
        reject(new CinderblockError("canceled", "the client disconnected while its body waited for memory"));
      };
      signal.addEventListener("abort", leave, { once: true });
      this.waiting.push(waiter);
      if (signal.aborted) leave();
      else this.admitWaiting();
    });
  }

  private admitWaiting(): void {
    for (let first = this.waiting[0]; first && this.fits(0, first.bytes); first = this.waiting[0]) {
      this.waiting.shift();
      first.take(this.reserve(first.bytes));
    }
  }

  private isLarge(bytes: number): boolean {
    return bytes > this.limitBytes * SMALL_SHARE;
  }

  /**
   * Whether a body that holds `from` bytes may hold `to`. A single large body may exceed the budget, so that
   * no body within the body limit is refused permanently.
   */
  private fits(from: number, to: number): boolean {
    const { limitBytes } = this,
      large = this.largeBytes - (this.isLarge(from) ? from : 0),
      small = this.smallBytes - (this.isLarge(from) ? 0 : from);
    return this.isLarge(to)
      ? large === 0 || large + to <= limitBytes * (1 - RESERVED_SHARE)
      : small + to <= Math.max(limitBytes * RESERVED_SHARE, limitBytes - large);
  }

  /** @internal Changes the bytes that a ticket holds. @throws `no-room` */
  change(from: number, to: number): void {
    if (to > from && !this.fits(from, to)) {
      this.refused?.();
      throw noRoom(
        "inflight",
        `request bodies use ${this.heldBytes} bytes and this one needs ${to - from} more; the limit is ${this.limitBytes} (${this.flag})`,
        { usedBytes: this.heldBytes, limit: this.limitBytes },
      );
    }
    if (this.isLarge(from)) this.largeBytes -= from;
    else this.smallBytes -= from;
    if (this.isLarge(to)) this.largeBytes += to;
    else this.smallBytes += to;
    if (to < from) this.admitWaiting();
  }
}

/** Reservation of one request in the budget, until all holders have released it. */
export class BodyTicket {
  private readonly budget: BodyBudget;
  private bytes = 0;
  private holders = 1;

  constructor(budget: BodyBudget) {
    this.budget = budget;
  }

  /** Raises the reservation to `total` bytes if that is more. @throws `no-room` */
  grow(total: number): void {
    if (total <= this.bytes || this.holders === 0) return;
    this.budget.change(this.bytes, total);
    this.bytes = total;
  }

  /** Adds a holder, which must call `release` as well. */
  retain(): this {
    this.holders++;
    return this;
  }

  release(): void {
    if (this.holders === 0 || --this.holders > 0) return;
    this.budget.change(this.bytes, 0);
    this.bytes = 0;
  }
}
