import type { Member } from "./member.ts";
import type { Roster } from "./roster.ts";
import type { RingSnapshot } from "./snapshot.ts";

/**
 * Ingesters that may hold data that the bucket lacks: the members of the ring, the entries of the roster, and
 * members that disappeared from the ring since the last read of the roster. So neither an emptied ring store
 * nor an unavailable bucket makes a reader forget an ingester (docs/correctness.md, "Redis holds no safety").
 */
export class Holders {
  /** ID -> member, and the monotonic time of its last presence in the ring */
  private readonly seen = new Map<string, { member: Member; atMs: number }>();
  private present: ReadonlySet<string> = new Set();
  private readonly ring: { readonly snapshot: RingSnapshot };
  private readonly roster: Pick<Roster, "entries" | "lastReadMs" | "unknown">;
  private readonly clock: () => number;

  constructor(
    ring: { readonly snapshot: RingSnapshot },
    roster: Pick<Roster, "entries" | "lastReadMs" | "unknown">,
    clock: () => number = () => performance.now(),
  ) {
    this.ring = ring;
    this.roster = roster;
    this.clock = clock;
  }

  /**
   * Records the current members of the ring. Call it regularly, so that no member that disappears between two
   * queries is missed.
   */
  recordMembers(): void {
    const now = this.clock(),
      { roster, seen } = this;
    this.present = new Set(this.ring.snapshot.members.map((m) => m.id));
    for (const member of this.ring.snapshot.members) seen.set(member.id, { member, atMs: now });
    // The roster lists every ingester with unshared data: a member that the roster lacks has handed over.
    for (const [id, { atMs }] of seen)
      if (!this.present.has(id) && atMs < roster.lastReadMs && !roster.entries.has(id)) seen.delete(id);
  }

  /** Whether an ingester is in the ring now. */
  inRing(id: string): boolean {
    return this.present.has(id);
  }

  /** All ingesters to query, sorted by ID. */
  get members(): Member[] {
    this.recordMembers();
    const out = new Map([...this.seen].map(([id, { member }]) => [id, member]));
    for (const [id, e] of this.roster.entries) {
      const known = out.get(id);
      // For an ingester outside the ring, the roster may have the newer address.
      if (known && (this.present.has(id) || known.registeredAtMs >= e.startedMs)) continue;
      out.set(id, {
        id,
        address: e.address,
        zone: e.zone,
        state: "ACTIVE",
        tokens: [],
        heartbeat: 0,
        registeredAtMs: e.startedMs,
      });
    }
    return [...out.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Reason why the list may be incomplete; "" if it is complete. */
  get unknown(): string {
    return this.roster.unknown;
  }
}
