import type { RingView } from "@cinderblock/ring";
import type { InternalClient } from "@cinderblock/rpc";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { activeSeriesOf, type TenantSeries } from "@cinderblock/transport";

const POLL_MS = 2000;
/** Reports of an ingester are dropped after this time without a new one. */
const FORGET_MS = 60_000;

/** Active series of tenants, from the last report of each ingester. */
export class OwnerSeries {
  /** ingester -> its last report: time, and tenant -> active series */
  private readonly active = new Map<string, { atMs: number; tenants: Map<string, BigUint64Array> }>();
  private readonly unions = new Map<string, Set<bigint>>();

  /** Stores the report of one ingester, which has an entry for each of its threads. */
  update(ingester: string, told: readonly TenantSeries[], nowMs: number): void {
    const tenants = new Map<string, BigUint64Array>();
    for (const { tenant, series } of told) {
      const more = tenants.get(tenant);
      tenants.set(tenant, more ? joined(more, series) : series);
    }
    this.active.set(ingester, { atMs: nowMs, tenants });
    this.unions.clear();
  }

  /** Drops the reports of ingesters that stopped responding. */
  forget(nowMs: number): void {
    for (const [id, a] of this.active) if (a.atMs < nowMs - FORGET_MS) this.active.delete(id);
    this.unions.clear();
  }

  /** A tenant's active series; undefined before the first report. */
  get(tenant: string): ReadonlySet<bigint> | undefined {
    if (this.active.size === 0) return undefined;
    let union = this.unions.get(tenant);
    if (!union) {
      this.unions.set(tenant, (union = new Set()));
      for (const { tenants } of this.active.values()) for (const s of tenants.get(tenant) ?? []) union.add(s);
    }
    return union;
  }
}

/** Asks the ingesters of a ring every two seconds for their active series. */
export class SeriesWatch implements Service {
  readonly name = "series-watch";
  readonly series = new OwnerSeries();
  private readonly loop;
  private readonly ring: RingView;
  private readonly client: InternalClient;
  private readonly base: Base;

  constructor(ring: RingView, client: InternalClient, base: Base) {
    this.ring = ring;
    this.client = client;
    this.base = base;
    this.loop = periodic(
      { name: "series-watch", everyMs: POLL_MS, deadlineMs: 3 * POLL_MS },
      () => this.poll(),
      base,
    );
  }

  async start(): Promise<void> {
    await this.loop.run();
    this.loop.start();
  }
  async stop(): Promise<void> {
    await this.loop.stop();
  }

  private async poll(): Promise<void> {
    await Promise.all(
      this.ring.snapshot.readable.map(async ({ id, address }) => {
        try {
          const told = await activeSeriesOf(this.client, address, POLL_MS);
          this.series.update(id, told, this.base.now());
        } catch (err) {
          this.base.log.debug({ ingester: id, err }, "fetching active series from an ingester failed");
        }
      }),
    );
    this.series.forget(this.base.now());
  }
}

function joined(a: BigUint64Array, b: BigUint64Array): BigUint64Array {
  const all = new BigUint64Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
