import { isReplica, type PlacementConfig, type RingMember, type RingSnapshot } from "@cinderblock/ring";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { Ingester } from "./ingester.ts";

/** How often the ring is compared with what it was. */
const TICK_MS = 1000;
/** Deadline of one look at the ring: it may log many forgotten series. */
const TICK_DEADLINE_MS = 60_000;

export interface OwnershipConfig extends PlacementConfig {
  id: string;
  /** silence after which others take what was this ingester's */
  timeoutMs: number;
  /** when this ingester's log was last written to before it started; undefined: there was none */
  lastLoggedMs: number | undefined;
}

/**
 * Forgets what cumulative profiles are compared with where others may have had later ones (docs/correctness.md, "Cumulative baselines"): services that
 * the ring gives to others now; and all, where there are no replicas to tell, when this ingester was silent for so long that
 * others took its place. A difference to a profile that is too old would count what they counted.
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
    // A process that stood still for so long was replaced meanwhile.
    if (gap > this.config.timeoutMs) await this.wasSilent();
    const ring = this.ring(),
      seen = ring.members.map((m) => `${m.id} ${m.state} ${m.tokens.length} ${ring.healthy(m)}`).join();
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

  /** With replicas the smaller difference is taken, which is theirs; an ingester alone has nobody who could have taken its place. */
  private async wasSilent(): Promise<void> {
    if (this.config.replicationFactor > 1 || !this.ring().members.some((m) => m.id !== this.config.id))
      return;
    await this.ingester.forgetBaselines(() => true);
  }
}
