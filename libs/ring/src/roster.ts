import { withTimeLimit } from "@cinderblock/async";
import { kindOf } from "@cinderblock/errors";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import {
  decodeRosterEntry,
  bucketTimeoutError,
  ROSTER_FOLDER,
  type RosterBucket,
  type RosterEntry,
  rosterId,
  rosterName,
} from "./roster-entry.ts";

/** Refresh period and request timeout of the roster. */
export interface RosterConfig {
  refreshMs: number;
  /** deadline of one read of the complete roster */
  timeoutMs: number;
  /** pause after a failed read, during which readers immediately get the last known roster */
  pauseMs: number;
}

const CONFIG: RosterConfig = { refreshMs: 30_000, timeoutMs: 3000, pauseMs: 3000 };
/** Minimum time between two reads. */
const LEAST_PAUSE_MS = 500;

/**
 * The roster of ingesters as last read from the bucket. Each refresh costs one list request, and one get for
 * each entry that is new or that `isStale` names.
 */
export class Roster implements Service {
  readonly name = "roster view";
  private known = new Map<string, RosterEntry>();
  /** object names of entries that cannot be decoded */
  private damaged: string[] = [];
  /** start of the last successful read, and end of the last failed one */
  private readMs = -Infinity;
  private failedMs = -Infinity;
  private failure: unknown;
  private reading: Promise<void> | undefined;
  private readonly loop;
  private readonly bucket: RosterBucket;
  private readonly config: RosterConfig;
  private readonly base: Base;
  /** clock of monotonic milliseconds */
  private readonly clock: () => number;
  /** whether to read a known entry again, because its process may have a new address */
  isStale: (id: string) => boolean = () => false;

  constructor(
    bucket: RosterBucket,
    base: Base,
    config: Partial<RosterConfig> = {},
    clock: () => number = () => performance.now(),
  ) {
    this.bucket = bucket;
    this.config = { ...CONFIG, ...config };
    this.base = base;
    this.clock = clock;
    this.loop = periodic(
      { name: "roster", everyMs: this.config.refreshMs, deadlineMs: 2 * this.config.timeoutMs },
      () => this.refresh(),
      base,
    );
  }

  /** Roster entries by the ingester's ID. */
  get entries(): ReadonlyMap<string, RosterEntry> {
    return this.known;
  }
  /** Start of the last successful read on the monotonic clock; -Infinity without one. */
  get lastReadMs(): number {
    return this.readMs;
  }
  /** Reason why the entries may be incomplete; "" if they are complete. */
  get unknown(): string {
    if (this.readMs === -Infinity) return "the roster of ingesters has not been read yet";
    return this.damaged.length === 0 ? "" : `roster entry ${this.damaged[0]} is damaged`;
  }

  async start(): Promise<void> {
    const { metrics } = this.base;
    metrics.gauge(
      "cinderblock_querier_roster_ingesters",
      "Number of entries in the roster of ingesters.",
      [],
      (g) => {
        g.set(this.known.size);
      },
    );
    metrics.gauge(
      "cinderblock_querier_roster_age_seconds",
      "Time since the roster of ingesters was last read; -1 before the first read.",
      [],
      (g) => {
        g.set(this.readMs === -Infinity ? -1 : (this.clock() - this.readMs) / 1000);
      },
    );
    await this.refresh();
    this.loop.start();
  }

  stop(): Promise<void> {
    return this.loop.stop(0).then(() => undefined);
  }

  /**
   * Reads the roster, unless it was read less than LEAST_PAUSE_MS ago. Never rejects: while the bucket is
   * unavailable, the last known roster stays.
   */
  refresh(): Promise<void> {
    const now = this.clock();
    if (now - this.readMs >= LEAST_PAUSE_MS && now - this.failedMs >= this.config.pauseMs)
      this.reading ??= this.read(now).finally(() => {
        this.reading = undefined;
      });
    // While the bucket is unavailable, readers continue with the last known roster at once.
    return this.failure !== undefined && this.readMs !== -Infinity
      ? Promise.resolve()
      : (this.reading ?? Promise.resolve());
  }

  private async read(startedMs: number): Promise<void> {
    const { timeoutMs } = this.config;
    try {
      const { known, damaged } = await withTimeLimit(timeoutMs, this.load(), () =>
        bucketTimeoutError("the roster", timeoutMs),
      );
      this.known = known;
      this.damaged = damaged;
      this.readMs = startedMs;
      if (this.failure !== undefined)
        this.base.log.info({ entries: known.size }, "roster of ingesters is readable again");
      this.failure = undefined;
    } catch (err) {
      this.failedMs = this.clock();
      if (this.failure === undefined)
        this.base.log.warn({ err }, "reading the roster of ingesters failed, keeping the last known entries");
      this.failure = err;
    }
  }

  private async load(): Promise<{ known: Map<string, RosterEntry>; damaged: string[] }> {
    const names = await this.bucket.list(ROSTER_FOLDER);
    const known = new Map<string, RosterEntry>(),
      damaged: string[] = [];
    await Promise.all(
      names.map(async (name) => {
        const id = rosterId(name);
        if (id === undefined) return;
        const old = this.known.get(id);
        if (old && !this.isStale(id)) {
          known.set(id, old);
          return;
        }
        try {
          known.set(id, decodeRosterEntry(await this.bucket.get(name), name));
        } catch (err) {
          if (kindOf(err) === "not-found") return; // the entry was removed after the list request
          if (kindOf(err) !== "corrupt") throw err;
          this.base.log.error({ err, name }, "roster entry is damaged");
          damaged.push(name);
        }
      }),
    );
    return { known, damaged };
  }

  /**
   * Removes an entry after an operator decided that its ingester does not return.
   * @returns whether there was an entry
   */
  async forget(id: string): Promise<boolean> {
    const { timeoutMs } = this.config,
      name = rosterName(id);
    const late = (): Error => bucketTimeoutError("the removal of a roster entry", timeoutMs);
    const there = await withTimeLimit(timeoutMs, this.bucket.exists(name), late);
    if (there) await withTimeLimit(timeoutMs, this.bucket.delete(name), late);
    this.known.delete(id);
    if (there) this.base.log.info({ member: id }, "roster entry removed on request");
    return there;
  }
}
