import { isReplica, type PlacementConfig, type RingMember, type RingSnapshot } from "@cinderblock/ring";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { Ingester } from "./ingester.ts";

/** Interval between two comparisons of the ring with its last state. */
const TICK_MS = 1000;
/** Deadline of one comparison, which may log many forgotten baselines. */
const TICK_DEADLINE_MS = 60_000;

export interface OwnershipConfig extends PlacementConfig {
  id: string;
  /** time without heartbeats after which other ingesters replace this one, in ms */
  timeoutMs: number;
  /** time of the last write to this ingester's log before its start; undefined: there was no log */
  lastLoggedMs: number | undefined;
}

/**
 * Drops baselines where other ingesters may have received later profiles
 * (docs/correctness.md, "Cumulative baselines"): the baselines of services that the ring now assigns to
 * others. Without replicas, drops all after a pause in which others replaced this ingester: a difference to
 * an outdated baseline would count their values twice.
 */
export class Ownership implements Service {
  readonly name = "ownership";
  private readonly loop;
  private seen = "";
  private tickedAt = 0;
  private readonly config: OwnershipConfig;
  private readonly ingester: Ingester;
  private readonly me: RingMember;
  private readonly ring: () => RingSnapshot;
  private readonly base: Base;

  constructor(
    config: OwnershipConfig,
    ingester: Ingester,
    me: RingMember,
    ring: () => RingSnapshot,
    base: Base,
  ) {
    this.config = config;
    this.ingester = ingester;
    this.me = me;
    this.ring = ring;
    this.base = base;
    this.loop = periodic(
      { name: "series-ownership", everyMs: TICK_MS, deadlineMs: TICK_DEADLINE_MS },
      () => this.tick(),
      base,
    );
  }

  async start(): Promise<void> {
    const { lastLoggedMs, timeoutMs } = this.config;
    if (lastLoggedMs !== undefined && this.base.now() - lastLoggedMs > timeoutMs) await this.wasSilent();
    this.tickedAt = performance.now();
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }

  private async tick(): Promise<void> {
    const now = performance.now(),
      gap = now - this.tickedAt;
    this.tickedAt = now;
    // Other ingesters replaced a process that was paused for this long.
    if (gap > this.config.timeoutMs) await this.wasSilent();
    const ring = this.ring(),
      seen = ring.members.map((m) => `${m.id} ${m.state} ${m.tokens.length} ${ring.isHealthy(m)}`).join();
    if (
      seen === this.seen ||
      this.me.state !== "ACTIVE" ||
      !ring.members.some((m) => m.id === this.config.id && m.state === "ACTIVE")
    )
      return;
    this.seen = seen;
    await this.ingester.forgetBaselines(
      (tenant, service) => isReplica(ring, this.config.id, tenant, service, this.config) === false,
    );
  }

  /**
   * With replicas, queries take the smaller difference, which is the other replicas'. Without other members,
   * no ingester can have replaced this one.
   */
  private async wasSilent(): Promise<void> {
    if (this.config.replicationFactor > 1 || !this.ring().members.some((m) => m.id !== this.config.id))
      return;
    await this.ingester.forgetBaselines(() => true);
  }
}
