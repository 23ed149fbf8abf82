import { CinderblockError } from "@cinderblock/errors";
import type { PartitionedLog } from "@cinderblock/kafka";
import type { InternalClient } from "@cinderblock/rpc";
import type { RingView } from "@cinderblock/ring";
import type { Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { PartitionState } from "@cinderblock/transport";

const POLL_MS = 2000,
  SILENT_MS = 30_000;
/** A push goes by what was found so long ago at most: there may be hundreds of partitions, and thousands of pushes a second. */
const LOOK_MS = 250;

/** What the owners say of the partitions, asked every two seconds, and what follows for writes. */
export class PartitionWatch implements Service {
  readonly name = "partition-watch";
  /** partition -> who reads it, and when that was told */
  private readonly known = new Map<number, Map<string, PartitionState & { atMs: number }>>();
  /** owner -> tenant -> its active series there, and when that was told */
  private readonly active = new Map<string, { atMs: number; tenants: Map<string, BigUint64Array> }>();
  private readonly unions = new Map<string, Set<bigint>>();
  private looked: { atMs: number; behind: { partition: number; ageMs: number } | undefined } | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly log: PartitionedLog;
  private readonly ring: RingView;
  private readonly client: InternalClient;
  private readonly base: Base;

  constructor(log: PartitionedLog, ring: RingView, client: InternalClient, base: Base) {
    this.log = log;
    this.ring = ring;
    this.client = client;
    this.base = base;
  }

  async start(): Promise<void> {
    await this.poll();
    const again = (): void => {
      this.timer = setTimeout(() => {
        this.poll().then(again, again);
      }, POLL_MS);
      this.timer.unref();
    };
    again();
  }
  stop(): Promise<void> {
    clearTimeout(this.timer);
    return Promise.resolve();
  }

  private async poll(): Promise<void> {
    await Promise.all(
      this.ring.snapshot.readable.map(async (m) => {
        try {
          const states = await this.client.call<PartitionState[]>(m.address, "Ingester", "partitions", [], {
            timeoutMs: POLL_MS,
          });
          for (const s of states) {
            let owners = this.known.get(s.partition);
            if (!owners) this.known.set(s.partition, (owners = new Map()));
            owners.set(s.owner, { ...s, atMs: this.base.now() });
          }
          const series = await this.client.call<{ tenant: string; series: BigUint64Array }[]>(
            m.address,
            "Ingester",
            "activeSeries",
            [],
            { timeoutMs: POLL_MS },
          );
          const tenants = new Map<string, BigUint64Array>();
          for (const s of series) {
            const more = tenants.get(s.tenant);
            tenants.set(s.tenant, more ? joined(more, s.series) : s.series);
          }
          this.active.set(m.id, { atMs: this.base.now(), tenants });
        } catch (err) {
          this.base.log.debug({ ingester: m.id, err }, "an ingester did not tell of its partitions");
        }
      }),
    );
    const old = this.base.now() - 2 * SILENT_MS;
    for (const [owner, a] of this.active) if (a.atMs < old) this.active.delete(owner);
    this.unions.clear();
    this.looked = undefined;
    for (const owners of this.known.values())
      for (const [owner, s] of owners) if (s.atMs < old && owners.size > 1) owners.delete(owner);
  }

  /** A tenant's active series, as the owners of the partitions told last; undefined while none has. */
  seriesOf(tenant: string): ReadonlySet<bigint> | undefined {
    if (this.active.size === 0) return undefined;
    let union = this.unions.get(tenant);
    if (!union) {
      this.unions.set(tenant, (union = new Set()));
      for (const { tenants } of this.active.values()) for (const s of tenants.get(tenant) ?? []) union.add(s);
    }
    return union;
  }

  /** The last known state of every partition and owner. */
  states(): (PartitionState & { atMs: number })[] {
    return [...this.known.values()]
      .flatMap((o) => [...o.values()])
      .sort((a, b) => a.partition - b.partition || (a.owner < b.owner ? -1 : 1));
  }

  /** Refuses writes that could outlive the topic's retention before they are in the bucket. */
  refuse(): void {
    if (this.known.size === 0)
      throw new CinderblockError(
        "unavailable",
        "no ingester has told yet of the partitions that it reads: whether a push would reach the bucket in time is not known",
      );
    const now = this.base.now();
    if (!this.looked || Math.abs(now - this.looked.atMs) >= LOOK_MS)
      this.looked = { atMs: now, behind: this.behind(now) };
    const { behind } = this.looked;
    if (behind)
      throw new CinderblockError(
        "limit",
        `partition ${behind.partition} holds records that wait for the bucket for ${Math.round(behind.ageMs / 1000)} s, more than half of what the topic keeps (${Math.round(this.log.retentionMs / 2000)} s)`,
        { reason: "rate_limited" },
      );
  }

  /** A partition of which every owner is too far behind. */
  private behind(now: number): { partition: number; ageMs: number } | undefined {
    for (const [partition, owners] of this.known) {
      // What a silent owner said grows older with it: nobody knows what it has read since.
      const ageMs = Math.min(
        ...[...owners.values()].map((s) => s.unuploadedAgeMs + (now - s.atMs > SILENT_MS ? now - s.atMs : 0)),
      );
      if (ageMs > this.log.retentionMs / 2) return { partition, ageMs };
    }
    return undefined;
  }
}

function joined(a: BigUint64Array, b: BigUint64Array): BigUint64Array {
  const all = new BigUint64Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
