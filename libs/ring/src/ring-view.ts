import { messageOf } from "@cinderblock/errors";
import type { MemberStore } from "@cinderblock/redis";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { decodeMember, type Member } from "./member.ts";
import { RingSnapshot } from "./snapshot.ts";

/** Ring to watch, refresh period, and timeouts for unhealthy and forgotten members. */
export interface RingViewConfig {
  ring: string;
  refreshMs: number;
  /**
   * a member is unhealthy when its heartbeat has not changed for this time on the local clock while the store
   * was readable
   */
  heartbeatTimeoutMs: number;
  /** members without a heartbeat are removed after this time; 0: never, for members that hold data */
  forgetAfterMs: number;
}

interface Seen {
  member: Member;
  entry: string;
  changedAt: number;
}

/** Deadline of one read of the ring. */
const READ_DEADLINE_MS = 10_000;

/**
 * A process's view of a ring. No safety depends on the store: while it is unavailable, the last known ring
 * stays, and no member becomes unhealthy because of that. A read that returns an empty ring, or lacks more
 * than a third of the members without LEAVING, is ignored for one heartbeat timeout (docs/correctness.md,
 * "Redis holds no safety").
 */
export class RingView implements Service {
  readonly name: string;
  private seen = new Map<string, Seen>();
  private current = new RingSnapshot([]);
  private doubtSince: number | undefined;
  private connected = false;
  private everRead = false;
  /** error of the last read; undefined if it succeeded */
  private failure: unknown;
  private readonly loop;
  private readonly store: MemberStore;
  private readonly config: RingViewConfig;
  private readonly base: Base;
  /** clock of monotonic milliseconds */
  private readonly clock: () => number;

  constructor(
    store: MemberStore,
    config: RingViewConfig,
    base: Base,
    clock: () => number = () => performance.now(),
  ) {
    this.name = `ring ${config.ring}`;
    this.store = store;
    this.config = config;
    this.base = base;
    this.clock = clock;
    this.loop = periodic(
      { name: `ring-${config.ring}`, everyMs: config.refreshMs, deadlineMs: READ_DEADLINE_MS },
      async () => {
        await this.refresh();
        if (this.failure !== undefined) throw this.failure;
      },
      base,
    );
  }

  get snapshot(): RingSnapshot {
    return this.current;
  }
  get ring(): string {
    return this.config.ring;
  }
  /**
   * Reason why this process knows no member yet, for /ready; "" from the first read on, because the last
   * known ring outlasts an outage of the store.
   */
  get obstacle(): string {
    if (this.everRead) return "";
    return `the ring ${this.config.ring} has not been read yet${this.failure === undefined ? "" : `: ${messageOf(this.failure)}`}`;
  }
  /** Milliseconds since this process saw a member's heartbeat change. */
  msSinceHeartbeat(id: string): number {
    const s = this.seen.get(id);
    return s ? this.clock() - s.changedAt : 0;
  }

  async start(): Promise<void> {
    const { metrics } = this.base;
    metrics.gauge("pyroscope_ring_members", "Number of ring members.", ["name", "state"], (g) => {
      for (const m of this.current.members)
        g.inc({ name: this.config.ring, state: this.current.isHealthy(m) ? m.state : "Unhealthy" });
    });
    await this.loop.run();
    this.loop.start();
  }

  stop(): Promise<void> {
    return this.loop.stop(0).then(() => undefined);
  }

  /** Reads the ring; after a failed read, which the loop reports, the last known members stay. */
  async refresh(): Promise<void> {
    let entries: Map<string, string>;
    try {
      entries = await this.store.read(this.config.ring);
    } catch (err) {
      this.failure = err;
      this.connected = false;
      return;
    }
    this.failure = undefined;
    this.everRead = true;
    const now = this.clock();
    // No heartbeat was readable while the store was unavailable: restart every clock.
    if (!this.connected) for (const s of this.seen.values()) s.changedAt = now;
    this.connected = true;
    if (this.doubtful(entries, now)) return;
    const next = new Map<string, Seen>();
    for (const [id, entry] of entries) {
      const member = decodeMember(entry);
      if (!member) continue;
      const known = this.seen.get(id);
      next.set(id, {
        member,
        entry,
        changedAt: known && known.member.heartbeat === member.heartbeat ? known.changedAt : now,
      });
    }
    this.seen = next;
    const silent = (ms: number): Seen[] => [...next.values()].filter((s) => now - s.changedAt > ms);
    this.current = new RingSnapshot(
      [...next.values()].map((s) => s.member),
      new Set(silent(this.config.heartbeatTimeoutMs).map((s) => s.member.id)),
    );
    if (this.config.forgetAfterMs > 0)
      for (const s of silent(this.config.forgetAfterMs)) await this.forget(s.member.id, s.entry);
  }

  /** Whether a read lacks so many members that it is not trusted yet. */
  private doubtful(entries: Map<string, string>, now: number): boolean {
    const gone = [...this.seen.values()].filter(
      (s) => !entries.has(s.member.id) && s.member.state !== "LEAVING",
    ).length;
    const doubt = gone > 0 && (entries.size === 0 || (this.seen.size >= 3 && gone * 3 > this.seen.size));
    if (!doubt) {
      this.doubtSince = undefined;
      return false;
    }
    this.doubtSince ??= now;
    if (now - this.doubtSince > this.config.heartbeatTimeoutMs) {
      this.doubtSince = undefined;
      return false;
    }
    return true;
  }

  /** Removes a member; with `entry`, only if the entry is unchanged. @returns whether it was removed */
  async forget(id: string, entry?: string): Promise<boolean> {
    try {
      const removed = await this.store.remove(this.config.ring, id, entry);
      if (removed) {
        this.seen.delete(id); // the member has left: its absence is expected from now on
        this.base.log.info({ ring: this.config.ring, member: id }, "member forgotten");
      }
      return removed;
    } catch (err) {
      this.base.log.warn({ err, ring: this.config.ring, member: id }, "forgetting a ring member failed");
      return false;
    }
  }
}
