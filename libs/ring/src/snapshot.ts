import { fnv1a, mix32 } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { type Member, acceptsWrites } from "./member.ts";

/** Members that receive a write, which fails with more than `maxErrors` errors. */
export interface ReplicationSet {
  members: Member[];
  maxErrors: number;
}

/** A ring at one moment: members, their tokens in order, and their health. Immutable. */
export class RingSnapshot {
  readonly members: readonly Member[];
  private readonly unhealthy: ReadonlySet<string>;
  /** tokens of all members, ascending */
  private readonly tokens: Float64Array;
  /** index of a token -> index in `members` */
  private readonly owner: Uint32Array;

  constructor(members: readonly Member[], unhealthy: ReadonlySet<string> = new Set()) {
    this.members = [...members].sort((a, b) => (a.id < b.id ? -1 : 1));
    this.unhealthy = unhealthy;
    const all = this.members.flatMap((m, i) => m.tokens.map((token) => ({ token, i })));
    // If two members share a token, the smaller ID owns it, in every process.
    all.sort((a, b) => a.token - b.token || a.i - b.i);
    this.tokens = Float64Array.from(all, (t) => t.token);
    this.owner = Uint32Array.from(all, (t) => t.i);
  }

  isHealthy(m: Member): boolean {
    return !this.unhealthy.has(m.id);
  }
  /** Members that answer reads: ACTIVE or LEAVING, healthy or not. */
  get readable(): Member[] {
    return this.members.filter((m) => m.state !== "JOINING");
  }
  /** Healthy members that accept writes and answer reads. */
  get active(): Member[] {
    return this.members.filter((m) => acceptsWrites(m) && this.isHealthy(m));
  }

  /**
   * Members that a write of `token` goes to: `factor` members, in distinct zones if there are enough zones.
   * As in v1, each member that is not ACTIVE or not healthy extends the search by one member.
   * @throws `unavailable` below a quorum
   */
  writeReplicas(token: number, factor: number, zoneAware = false): ReplicationSet {
    const chosen: Member[] = [],
      zones = new Set<string>();
    const zoneCount = new Set(this.members.map((m) => m.zone)).size;
    const distinctZones = zoneAware && zoneCount >= factor;
    const seen = new Set<number>();
    let wanted = factor;
    for (
      let step = 0, at = this.first(token);
      step < this.tokens.length && chosen.length < wanted;
      step++, at = (at + 1) % this.tokens.length
    ) {
      const i = this.owner[at]!;
      if (seen.has(i)) continue;
      const m = this.members[i]!;
      if (distinctZones && zones.has(m.zone)) continue;
      seen.add(i);
      const takes = acceptsWrites(m) && this.isHealthy(m);
      // A member that cannot accept writes does not use up its zone: another member of the zone may.
      if (distinctZones && takes) zones.add(m.zone);
      chosen.push(m);
      if (!takes) wanted++;
    }
    const members = chosen.filter((m) => acceptsWrites(m) && this.isHealthy(m));
    const quorum = Math.floor(factor / 2) + 1;
    if (members.length < quorum)
      throw new CinderblockError(
        "unavailable",
        `at least ${quorum} live replicas required, could only find ${members.length}${members.length === 0 ? " - no ingester of the ring takes writes now" : ""}`,
      );
    return { members, maxErrors: members.length - quorum };
  }

  /** (tenant, size) -> shuffle shard */
  private readonly shards = new Map<string, RingSnapshot>();

  /**
   * Shuffle shard of a tenant: `size` members, equally many of each zone (rounded up), selected by the
   * tenant's name alone. A joining or leaving member changes a shard by at most one member, and a larger
   * shard includes the smaller one. A size of 0, or of at least all members, selects the whole ring. Members
   * count in any state, so a short outage moves no tenant.
   */
  shuffleShard(tenant: string, size: number): RingSnapshot {
    if (size <= 0 || size >= this.members.length) return this;
    const key = `${size}/${tenant}`;
    let part = this.shards.get(key);
    if (!part) this.shards.set(key, (part = new RingSnapshot(this.pick(tenant, size), this.unhealthy)));
    return part;
  }

  private pick(tenant: string, size: number): Member[] {
    const zones = new Map<string, Set<number>>();
    this.members.forEach((m, i) => {
      const zone = zones.get(m.zone);
      if (zone) zone.add(i);
      else zones.set(m.zone, new Set([i]));
    });
    const out: Member[] = [];
    for (const [zone, inZone] of [...zones].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const seed = fnv1a(Buffer.from(`${tenant}\u0000${zone}`)),
        chosen = new Set<number>();
      for (
        let k = 0, want = Math.min(inZone.size, Math.ceil(size / zones.size));
        chosen.size < want && this.tokens.length > 0;
        k++
      ) {
        // The first member of the zone that follows the tenant's next token and is not selected yet.
        for (
          let step = 0, at = this.first(mix32(seed, k));
          step < this.tokens.length;
          step++, at = (at + 1) % this.tokens.length
        ) {
          const i = this.owner[at]!;
          if (!inZone.has(i) || chosen.has(i)) continue;
          chosen.add(i);
          break;
        }
        if (k > 64 * inZone.size) break; // the other members of the zone have no tokens
      }
      for (const i of chosen) out.push(this.members[i]!);
    }
    return out;
  }

  /** Index of the first token that is greater than `token`, wrapping around. */
  private first(token: number): number {
    let lo = 0,
      hi = this.tokens.length;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (this.tokens[mid]! > token) hi = mid;
      else lo = mid + 1;
    }
    return lo === this.tokens.length ? 0 : lo;
  }
}
